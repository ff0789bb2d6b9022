/// A part of the service that most of its CPU time goes to, as an operation that can be repeated.
struct HotPath: Sendable {
    /// As `Benchmarks/thresholds.json` has it.
    let name: String
    /// Makes what the operation needs; it receives the number of the operation, from 0 on.
    let prepare: @Sendable () -> (Int) -> Void

    /// Most operations of one process: all segments, stream numbers and retained events suffice.
    static let countMax = 10_000

    /// In the order of a call: transport, messages, state, disk.
    static let all = [
        HotPath(name: "http2-call") {
            let loop = LoopPath()
            return { loop.call($0) }
        },
        HotPath(name: "track-decode", prepare: CodecPaths.decodePlainTrack),
        HotPath(name: "track-decode-nested", prepare: CodecPaths.decodeNestedTrack),
        HotPath(name: "track-apply", prepare: StatePaths.applyTrack),
        HotPath(name: "track-encode", prepare: CodecPaths.encodeTrackResponse),
        HotPath(name: "get-profile", prepare: StatePaths.getProfile),
        HotPath(name: "identify", prepare: StatePaths.identify),
        HotPath(name: "update-subscription", prepare: StatePaths.updateSubscription),
        HotPath(name: "filter-profile", prepare: StatePaths.filterProfile),
        HotPath(name: "snapshot-profile", prepare: StatePaths.snapshotProfile),
        HotPath(name: "log-append") {
            let log = LogPath()
            return { log.append($0) }
        },
    ]
}
