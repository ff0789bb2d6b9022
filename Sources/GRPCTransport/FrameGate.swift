import CNGHTTP2

/// Looks at the frames of a peer before nghttp2 does: what they cost, and whether their streams may
/// carry them.
struct FrameGate {
    enum Verdict: Equatable {
        /// nghttp2 may have all of the bytes.
        case feed
        /// The frame at `offset` is a connection error; nghttp2 may have what is before it.
        case reject(offset: Int, nghttp2_error_code)
    }

    private var scanner = FrameScanner()
    private var streams = PeerStreams()
    /// Header blocks that have begun; wraps around.
    private var headerBlocks: UInt32 = 0
    /// Of the latest frame.
    private var kind: UInt8 = 0
    var budget: WorkBudget

    init(limits: TransportLimits, nowNanoseconds: UInt64) {
        self.budget = WorkBudget(
            burstFrames: limits.frameBurst, framesPerSecond: limits.framesPerSecond,
            nowNanoseconds: nowNanoseconds)
    }

    /// Follows the frames that begin in `bytes` and charges for them.
    ///
    /// - Parameter openStreams: Streams of the connection: a setting may touch each of them.
    mutating func inspect(
        _ bytes: UnsafeRawBufferPointer, openStreams: Int, nowNanoseconds: UInt64
    ) -> Verdict {
        self.budget.refill(nowNanoseconds: nowNanoseconds)
        var offset = 0
        var points = 0
        defer { self.budget.spend(points) }
        while let frame = self.scanner.next(in: bytes, at: &offset) {
            switch self.streams.receive(frame) {
            case .pass: break
            case .streamClosed: return .reject(offset: frame.offset, NGHTTP2_STREAM_CLOSED)
            case .protocolError: return .reject(offset: frame.offset, NGHTTP2_PROTOCOL_ERROR)
            }
            self.kind = frame.kind
            if frame.kind == FrameKind.headers { self.headerBlocks &+= 1 }
            points &+= Self.points(of: frame, openStreams: openStreams)
        }
        return .feed
    }

    /// The header block whose rest is to come, by its number; `nil`: there is none.
    ///
    /// nghttp2 does not tell of blocks that it ignores, such as one on a stream that was reset, nor
    /// of the end of one that it rejects.
    var openHeaderBlock: UInt32? {
        let isOpen =
            self.streams.isInsideHeaderBlock
            || self.scanner.isInsidePayload
                && (self.kind == FrameKind.headers || self.kind == FrameKind.continuation)
        return isOpen ? self.headerBlocks : nil
    }

    /// Entries of a SETTINGS frame are six bytes long (RFC 9113, section 6.5.1).
    private static let settingBytes = 6

    @inline(__always)
    private static func points(of frame: FrameScanner.Header, openStreams: Int) -> Int {
        switch frame.kind {
        case FrameKind.data, FrameKind.headers, FrameKind.continuation:
            // Limits of their own bound these payloads, and a body may be progress.
            return WorkBudget.framePoints
        case FrameKind.settings:
            // A new initial window changes every open stream: a quarter of a frame's time for each.
            return WorkBudget.framePoints
                + frame.length / Self.settingBytes * WorkBudget.framePoints
                * (1 + openStreams / 4)
        default: return WorkBudget.framePoints + frame.length
        }
    }
}
