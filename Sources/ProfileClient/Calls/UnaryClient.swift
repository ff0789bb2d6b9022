import Glibc

/// A blocking client: one request at a time over one connection, with a deadline and retries on
/// UNAVAILABLE.
///
/// Retries are safe only for calls that have a `request_id` or change nothing; the caller is
/// responsible for that.
package final class UnaryClient {
    /// How long a caller waits, and when a call is retried.
    package struct RetryPolicy {
        /// For one call with all its retries, in milliseconds.
        package var timeoutMilliseconds: Int64 = 10_000
        /// Whether a call is also retried while the server cannot be reached, not only on
        /// UNAVAILABLE.
        package var waitsForServer = false

        package init() {}
    }

    package let address: ServerAddress
    package var retryPolicy: RetryPolicy
    /// Sent as `authorization: Bearer KEY`.
    package var key: String?
    private var connection: ClientConnection?

    /// The pause before the first retry, and the longest one; each pause is twice as long as the
    /// previous one.
    private static let pauseMilliseconds: Int64 = 50
    private static let pauseMillisecondsMax: Int64 = 2_000

    package init(
        _ address: ServerAddress, retryPolicy: RetryPolicy = RetryPolicy(), key: String? = nil
    ) {
        self.address = address
        self.retryPolicy = retryPolicy
        self.key = key
    }

    /// Calls with a request and a response in JSON.
    ///
    /// - Throws: `RPCFailure`, or `MessageJSONError` for a request that does not match its message.
    package func call(_ method: RPCMethod, _ request: JSONValue, encoder: MessageEncoder) throws
        -> JSONValue
    {
        try method.decode(self.call(method, try encoder.encode(request, as: method.request)))
    }

    /// Calls with an encoded request; retries until it succeeds, fails permanently, or times out.
    package func call(_ method: RPCMethod, _ request: [UInt8]) throws(RPCFailure) -> [UInt8] {
        let deadline = ClientClock.milliseconds() + self.retryPolicy.timeoutMilliseconds
        var pause = Self.pauseMilliseconds
        while true {
            do {
                return try self.attempt(method, request, deadline)
            } catch {
                let waits = error.hasResponse || self.retryPolicy.waitsForServer
                guard error.code == RPCFailure.unavailable, waits,
                    ClientClock.milliseconds() + pause < deadline
                else { throw error }
                usleep(UInt32(pause * 1_000))
                pause = min(pause * 2, Self.pauseMillisecondsMax)
            }
        }
    }

    /// Calls once, without retries, and passes on each message of the response stream when it
    /// arrives.
    ///
    /// - Throws: `RPCFailure` if the stream ends with any status but OK.
    package func stream(_ method: RPCMethod, _ request: [UInt8], _ body: (JSONValue) -> Void)
        throws(RPCFailure)
    {
        let deadline = ClientClock.milliseconds() + self.retryPolicy.timeoutMilliseconds
        var malformed = false
        let call = try self.attempt(method, request, deadline) { call in
            while let message = call.takeMessage() {
                if let json = MessageJSON.decode(message, as: method.response) {
                    body(json)
                } else {
                    malformed = true
                }
            }
        }
        try withExtendedLifetime(call) { () throws(RPCFailure) in try call.checkStatus() }
        guard call.isDrained, !malformed else {
            throw method.unexpectedFormat
        }
    }

    private func attempt(_ method: RPCMethod, _ request: [UInt8], _ deadline: Int64)
        throws(RPCFailure) -> [UInt8]
    {
        let call = try self.attempt(method, request, deadline) { _ in }
        return try withExtendedLifetime(call) { () throws(RPCFailure) in try Self.response(call) }
    }

    /// Makes one call and waits for its end.
    ///
    /// - Parameter arrived: Called after each read from the socket; may remove messages from the
    ///   call's response.
    private func attempt(
        _ method: RPCMethod, _ request: [UInt8], _ deadline: Int64, _ arrived: (ClientCall) -> Void
    ) throws(RPCFailure) -> ClientCall {
        let call = ClientCall(keepsResponse: true)
        call.path = Array(method.path.utf8)
        call.body = ClientFraming.framed(request)
        call.metadata = [
            (
                "grpc-timeout",
                Array("\(max(1, min(deadline - ClientClock.milliseconds(), 99_999_999)))m".utf8)
            )
        ]
        if let key = self.key {
            call.metadata.append(("authorization", Array("Bearer \(key)".utf8)))
        }
        let connection: ClientConnection
        do {
            connection = try self.connected(deadline)
            try connection.start(call)
            try self.finish(call, on: connection, deadline, arrived)
        } catch {
            self.connection = nil
            throw RPCFailure(error, reaching: self.address)
        }
        guard call.hasEnded else {
            // The connection is dropped together with the call, so that a late response cannot be
            // attributed to the next one.
            self.connection = nil
            throw RPCFailure(
                withoutResponse: RPCFailure.deadlineExceeded,
                "\(self.address) did not respond in time")
        }
        return call
    }

    private func connected(_ deadline: Int64) throws(ClientError) -> ClientConnection {
        if let connection = self.connection, connection.acceptsCalls { return connection }
        let rest = max(1, min(deadline - ClientClock.milliseconds(), 5_000))
        let connection = try ClientConnection(self.address, timeoutMilliseconds: Int32(rest))
        self.connection = connection
        return connection
    }

    private func finish(
        _ call: ClientCall, on connection: ClientConnection, _ deadline: Int64,
        _ arrived: (ClientCall) -> Void
    ) throws(ClientError) {
        while true {
            let wantsToWrite = try connection.turn()
            arrived(call)
            let rest = deadline - ClientClock.milliseconds()
            guard !call.hasEnded, rest > 0 else { return }
            guard !connection.isFinished else { throw .closed }
            var polled = pollfd(
                fd: connection.descriptor,
                events: Int16(POLLIN) | (wantsToWrite ? Int16(POLLOUT) : 0), revents: 0)
            poll(&polled, 1, Int32(min(rest, 1_000)))
        }
    }

    private static func response(_ call: ClientCall) throws(RPCFailure) -> [UInt8] {
        try call.checkStatus()
        guard let message = call.takeMessage(), call.isDrained else {
            throw RPCFailure(
                withoutResponse: RPCFailure.internalError,
                "the response is not exactly one message")
        }
        return message
    }
}
