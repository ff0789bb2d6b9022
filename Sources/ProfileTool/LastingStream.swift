import Glibc
import ProfileClient

/// A stream that is called again whenever its connection is lost or its server stops, so that a
/// command can follow it without end.
///
/// Until the first message has arrived, a failure is final as that of any other command. From then
/// on only a failure that waiting cannot mend is: calls follow one another with growing pauses.
struct LastingStream {
    /// Why it has ended without a failure.
    enum End: Equatable {
        /// By SIGINT or SIGTERM, or because the reader of the output has left.
        case interrupted
        case outputFailed
        /// The server has ended a stream that is finite.
        case completed
    }

    /// Between two attempts, in milliseconds; each pause is twice as long as the one before, less
    /// up to a half of it, so that the watchers of a server do not return in the same moment.
    static let pauseMilliseconds: Int64 = 100
    static let pauseMillisecondsMax: Int64 = 5_000
    /// Longest silence: heartbeats come every 5 seconds, so the connection is dead.
    static let silenceMilliseconds: Int64 = 20_000
    /// Longest wait for a connection.
    private static let connectMilliseconds: Int64 = 5_000

    let method: RPCMethod
    let client: UnaryClient
    let terminal: ToolTerminal
    /// How long to wait for the first message, in milliseconds.
    let firstMilliseconds: Int64
    /// How long without a message until it ends, in milliseconds; `nil`: never.
    let patienceMilliseconds: Int64?
    /// Whether the stream of requests stays open behind the first one.
    let sendsMore: Bool
    /// Whether the server ends the stream when everything is said.
    let isFinite: Bool

    /// What is known of the attempts.
    private struct Attempts {
        var hasWorked = false
        /// Whether the loss has been reported, and no message has come since.
        var isLost = false
        var lastMessage = ClientClock.milliseconds()
        var pause = LastingStream.pauseMilliseconds
    }

    /// Follows the stream.
    ///
    /// - Parameters:
    ///   - request: The first message of each call.
    ///   - position: Where a call begins, for the message about a lost connection, such as
    ///     ` from lsn 42`; or empty.
    ///   - received: Takes each message; may send others.
    /// - Throws: `RPCFailure`, and what `request` and `received` throw.
    func run(
        request: () throws -> [UInt8], position: () -> String,
        received: (StreamingCall, [UInt8]) throws -> Void
    ) throws -> End {
        let endings = self.terminal.endings()
        var attempts = Attempts()
        while true {
            do {
                return try self.attempt(
                    &attempts, endings, request: request, received: received)
            } catch let failure as RPCFailure {
                guard self.isWorthwhile(failure, attempts) else { throw failure }
                if attempts.hasWorked, !attempts.isLost {
                    attempts.isLost = true
                    let text = failure.message.isEmpty ? failure.reason : failure.message
                    self.terminal.complain("\(text); trying to resume\(position())")
                }
                if self.pause(&attempts, endings) { return self.interrupted() }
            }
        }
    }

    private func attempt(
        _ attempts: inout Attempts, _ endings: [pollfd], request: () throws -> [UInt8],
        received: (StreamingCall, [UInt8]) throws -> Void
    ) throws -> End {
        let begin = ClientClock.milliseconds()
        let call = try StreamingCall(
            self.method, to: self.client.address, key: self.client.key, request: try request(),
            isLast: !self.sendsMore,
            connectMilliseconds: min(Self.connectMilliseconds, self.firstMilliseconds))
        var limit = attempts.hasWorked ? Self.silenceMilliseconds : self.firstMilliseconds
        limit -= min(limit, ClientClock.milliseconds() - begin)
        while true {
            switch try call.next(within: limit, or: endings) {
            case .message(let message):
                if attempts.isLost { self.terminal.complain("resumed") }
                attempts = Attempts(hasWorked: true)
                limit = Self.silenceMilliseconds
                try received(call, message)
                guard self.terminal.outputFailure() == nil else { return .outputFailed }
            case .interruption: return self.interrupted()
            case .silence:
                throw RPCFailure(
                    withoutResponse: attempts.hasWorked
                        ? RPCFailure.unavailable : RPCFailure.deadlineExceeded,
                    "\(self.client.address) did not respond in time")
            case .end:
                if self.isFinite { return .completed }
                throw RPCFailure(
                    withoutResponse: RPCFailure.unavailable,
                    "\(self.client.address) has ended the stream")
            }
        }
    }

    private func interrupted() -> End {
        self.terminal.noticeLostReader()
        return self.terminal.outputFailure() == nil ? .interrupted : .outputFailed
    }

    /// Whether another attempt may succeed.
    private func isWorthwhile(_ failure: RPCFailure, _ attempts: Attempts) -> Bool {
        let now = ClientClock.milliseconds()
        guard attempts.hasWorked else {
            return failure.hasResponse && failure.code == RPCFailure.unavailable
                && now < attempts.lastMessage + self.firstMilliseconds
        }
        if let patience = self.patienceMilliseconds, now >= attempts.lastMessage + patience {
            return false
        }
        // A server that has not noticed the loss still counts the former stream.
        return [RPCFailure.unavailable, RPCFailure.resourceExhausted].contains(failure.code)
    }

    /// - Returns: Whether the command is to end.
    private func pause(_ attempts: inout Attempts, _ endings: [pollfd]) -> Bool {
        let half = UInt64(attempts.pause / 2)
        let deadline =
            ClientClock.milliseconds() + Int64(half + self.terminal.random() % (half + 1))
        attempts.pause = min(attempts.pause * 2, Self.pauseMillisecondsMax)
        var polled = endings
        while true {
            let rest = deadline - ClientClock.milliseconds()
            guard rest > 0 else { return false }
            for index in polled.indices { polled[index].revents = 0 }
            poll(&polled, nfds_t(polled.count), Int32(clamping: rest))
            if polled.contains(where: { $0.revents != 0 }) { return true }
        }
    }
}
