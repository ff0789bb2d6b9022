import GRPCTransport

/// Which part of what the loops have open is asked for: `/debug/streams?from=1.40&limit=50`.
package struct DebugPage: Equatable, Sendable {
    package enum Subject: Equatable, Sendable {
        case connections
        case streams
    }

    package static let paths = ["/debug/connections", "/debug/streams"]
    /// Entries of a page unless it says otherwise.
    package static let limit = 100
    /// Most entries of a page: 500 bytes each, a quarter of the largest page.
    package static let limitMax = LoopInspector.entriesMax
    private static let loopsMax = Configuration.loopsRange.upperBound
    /// More slots than a loop has connections or streams.
    private static let slotsMax = 9_999_999

    package var subject: Subject
    /// The first loop and the first slot in it.
    package var loop = 0
    package var slot = 0
    package var limit = DebugPage.limit

    /// What `init` accepts, for a client that sent something else.
    static let usage =
        "allowed: from=LOOP.SLOT as `next` of the page before, limit=1...\(DebugPage.limitMax)\n"

    /// - Returns: `nil` if a parameter is unknown, repeated or not allowed.
    package init?(path: String, query: String) {
        switch path {
        case Self.paths[0]: self.subject = .connections
        case Self.paths[1]: self.subject = .streams
        default: return nil
        }
        var names: Set<Substring> = []
        for parameter in query.split(separator: "&") {
            let parts = parameter.split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, names.insert(parts[0]).inserted else { return nil }
            switch parts[0] {
            case "from": guard self.readStart(parts[1]) else { return nil }
            case "limit":
                guard let limit = DecimalNumber.parse(parts[1], max: Self.limitMax), limit > 0
                else { return nil }
                self.limit = limit
            default: return nil
            }
        }
    }

    private mutating func readStart(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let loop = DecimalNumber.parse(parts[0], max: Self.loopsMax),
            let slot = DecimalNumber.parse(parts[1], max: Self.slotsMax)
        else { return false }
        (self.loop, self.slot) = (loop, slot)
        return true
    }
}
