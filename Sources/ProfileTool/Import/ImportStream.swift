import Glibc
import ProfileClient

/// The stream of an import, which is opened again when its connection is lost or its server stops:
/// the messages without a response are sent again, and their ids keep the service from applying
/// anything twice.
///
/// Used by one thread.
final class ImportStream {
    private let client: UnaryClient
    private var call: StreamingCall?
    /// The messages without a response, the oldest first.
    private var waiting: [[UInt8]] = []
    private var hasWorked = false

    /// The pause before the first attempt to reconnect, and the longest one, in milliseconds; each
    /// pause is twice as long as the previous one.
    private static let pauseMilliseconds: Int64 = 50
    private static let pauseMillisecondsMax: Int64 = 2_000
    private static let connectMilliseconds: Int64 = 5_000

    init(_ client: UnaryClient) {
        self.client = client
    }

    /// Sends a message; what it comes to is told by `next`.
    func send(_ message: [UInt8]) {
        self.waiting.append(message)
        self.call?.send(message)
    }

    /// Waits for the response to the oldest message.
    ///
    /// - Throws: `RPCFailure` if the service rejects the import, or gives no response within the
    ///   time for one call.
    func next() throws(RPCFailure) -> [UInt8] {
        let deadline = ClientClock.milliseconds() + self.client.retryPolicy.timeoutMilliseconds
        var pause = Self.pauseMilliseconds
        while true {
            do throws(RPCFailure) {
                let response = try self.attempt(until: deadline)
                self.waiting.removeFirst()
                self.hasWorked = true
                return response
            } catch {
                self.call = nil
                // The first connection fails at once if nobody listens.
                let waits = error.hasResponse || self.hasWorked
                guard error.code == RPCFailure.unavailable, waits,
                    ClientClock.milliseconds() + pause < deadline
                else { throw error }
                usleep(UInt32(pause * 1_000))
                pause = min(pause * 2, Self.pauseMillisecondsMax)
            }
        }
    }

    /// Ends the stream; every message has its response.
    func finish() {
        guard let call = self.call else { return }
        call.finishSending()
        // Only for a server that wants to know how its calls ended.
        _ = try? call.next(within: self.client.retryPolicy.timeoutMilliseconds)
        self.call = nil
    }

    private func attempt(until deadline: Int64) throws(RPCFailure) -> [UInt8] {
        let call = try self.opened(deadline)
        switch try call.next(within: max(1, deadline - ClientClock.milliseconds())) {
        case .message(let message): return message
        case .end:
            throw RPCFailure(
                withoutResponse: RPCFailure.unavailable,
                "\(self.client.address) has ended the stream")
        case .silence, .interruption:
            throw RPCFailure(
                withoutResponse: RPCFailure.deadlineExceeded,
                "\(self.client.address) did not respond in time")
        }
    }

    private func opened(_ deadline: Int64) throws(RPCFailure) -> StreamingCall {
        if let call = self.call { return call }
        let rest = max(1, deadline - ClientClock.milliseconds())
        let call = try StreamingCall(
            ImportRequest.method, to: self.client.address, key: self.client.key,
            request: self.waiting[0], isLast: false,
            connectMilliseconds: min(Self.connectMilliseconds, rest))
        for message in self.waiting.dropFirst() { call.send(message) }
        self.call = call
        return call
    }
}
