import ProfileClient

// The live part of a person: the changes behind a position, from Watch.

extension ConsoleQueries {
    /// How long a request waits for a change, in milliseconds; then the page asks again.
    private static let waitMilliseconds: Int64 = 20_000
    /// How often it looks whether anybody still waits, in milliseconds.
    private static let stepMilliseconds: Int64 = 250
    /// Changes of one response; the page asks for the others next.
    private static let changesMax = 100
    /// Bytes of messages of Watch after which a response ends, so that it stays below
    /// `ConsoleContent.bytesMax` with a last message of the largest size.
    private static let messageBytesMax = 512 << 10
    /// After a change, how long the next one may take to come with it, in milliseconds.
    private static let silenceMilliseconds: Int64 = 50

    /// Waits for the next changes of a person.
    ///
    /// A position is an lsn and how many of its changes are known already (`from` and `skip`): a
    /// response may end between the changes of one lsn, and Watch begins with the first of them.
    func changes() throws -> JSONValue {
        var position = Position(
            from: try self.request.number("from"), skip: try self.request.number("skip"))
        let stream = try self.client.stream(
            .profiles("Watch"),
            [
                ("project", .string(self.request.project)),
                ("from_lsn", .string("\(position.from)")),
                ("identifiers", .array([try self.identifier()])),
                ("include_historical", .bool(true)),
            ], key: self.request.key)
        let deadline = ClientClock.milliseconds() + Self.waitMilliseconds
        var changes: [JSONValue] = []
        var messageBytes = 0
        loop: while changes.count < Self.changesMax, messageBytes < Self.messageBytesMax {
            let rest = deadline - ClientClock.milliseconds()
            guard rest > 0, !self.request.isAbandoned() else { break }
            let step = changes.isEmpty ? Self.stepMilliseconds : Self.silenceMilliseconds
            switch try stream.next(within: min(rest, step)) {
            case .message(let bytes):
                guard
                    let message = MessageJSON.decode(
                        bytes, as: RPCMethod.profiles("Watch").response)
                else {
                    throw ConsoleFailure(
                        status: .internalError, message: "Watch has sent an invalid message")
                }
                if let change = position.take(message) {
                    changes.append(change)
                    messageBytes += bytes.count
                }
            case .silence where changes.isEmpty: continue
            case .silence, .interruption, .end: break loop
            }
        }
        return .object(of: [
            ("changes", .array(changes)), ("from", .string("\(position.from)")),
            ("skip", .string("\(position.skip)")),
        ])
    }

    /// Where a stream of changes continues.
    struct Position: Equatable {
        /// The first lsn to ask for.
        var from: UInt64
        /// Changes of that lsn that are known already.
        var skip: UInt64
        /// Changes of that lsn that this stream has sent.
        private var seen: UInt64 = 0

        init(from: UInt64, skip: UInt64) {
            (self.from, self.skip) = (from, skip)
        }

        /// Moves on behind a message of the stream; returns its change if it is a new one.
        mutating func take(_ message: JSONValue) -> JSONValue? {
            guard let lsn = message["lsn"].flatMap({ UInt64($0.text ?? $0.description) }) else {
                return nil
            }
            guard let change = message["change"] else {
                // All through this lsn was sent.
                if lsn >= self.from { (self.from, self.skip, self.seen) = (lsn + 1, 0, 0) }
                return nil
            }
            if lsn != self.from { (self.from, self.skip, self.seen) = (lsn, 0, 0) }
            self.seen += 1
            guard self.seen > self.skip else { return nil }
            self.skip = self.seen
            return .object(of: [("lsn", .string("\(lsn)")), ("change", change)])
        }
    }
}
