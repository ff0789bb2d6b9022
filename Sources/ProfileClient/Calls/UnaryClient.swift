import Glibc

/// A blocking client: one request at a time over one connection, with a deadline and retries on
/// UNAVAILABLE.
///
/// Retries are safe only for calls that carry a `request_id` or change nothing; giving one is the
/// caller's part.
package final class UnaryClient {
    /// How long a caller waits.
    package struct Patience {
        /// For one call with all its retries, in milliseconds.
        package var timeoutMilliseconds: Int64 = 10_000
        /// Whether it waits for a server that is not there (yet, or again) as it does for one that
        /// answers UNAVAILABLE.
        package var waitsForServer = false

        package init() {}
    }

    package let address: ServerAddress
    package var patience: Patience
    /// Sent as `authorization: Bearer KEY`.
    package var key: String?
    private var connection: ClientConnection?

    /// The first pause before a retry; each next one is twice as long, up to the second.
    private static let pauseMilliseconds: Int64 = 50
    private static let pauseMillisecondsMax: Int64 = 2_000

    package init(_ address: ServerAddress, patience: Patience = Patience(), key: String? = nil) {
        self.address = address
        self.patience = patience
        self.key = key
    }

    /// Calls with JSON and answers with JSON.
    ///
    /// - Throws: `RPCFailure`, also for a request that does not fit its message, with the one
    ///   violation.
    package func call(_ method: RPCMethod, _ request: JSONValue, encoder: MessageEncoder) throws
        -> JSONValue
    {
        let response = try self.call(method, try encoder.encode(request, as: method.request))
        guard let json = MessageJSON.decode(response, as: method.response) else {
            throw RPCFailure(
                withoutResponse: 13, "the answer of \(method.path) is not the contract's message")
        }
        return json
    }

    /// Calls with an encoded request until it is answered, refused, or out of time.
    package func call(_ method: RPCMethod, _ request: [UInt8]) throws(RPCFailure) -> [UInt8] {
        let deadline = Self.nowMilliseconds() + self.patience.timeoutMilliseconds
        var pause = Self.pauseMilliseconds
        while true {
            do {
                return try self.attempt(method, request, deadline)
            } catch {
                let waits = error.hasResponse || self.patience.waitsForServer
                guard error.code == RPCFailure.unavailable, waits,
                    Self.nowMilliseconds() + pause < deadline
                else { throw error }
                usleep(UInt32(pause * 1_000))
                pause = min(pause * 2, Self.pauseMillisecondsMax)
            }
        }
    }

    /// Calls once and hands over each message of the answer as it comes; what has begun is not
    /// tried again.
    ///
    /// - Throws: `RPCFailure`, when the stream ends otherwise than with OK.
    package func stream(_ method: RPCMethod, _ request: [UInt8], _ body: (JSONValue) -> Void)
        throws(RPCFailure)
    {
        let deadline = Self.nowMilliseconds() + self.patience.timeoutMilliseconds
        var malformed = false
        let call = try self.attempt(method, request, deadline) { call in
            while let message = Self.nextMessage(of: call) {
                if let json = MessageJSON.decode(message, as: method.response) {
                    body(json)
                } else {
                    malformed = true
                }
            }
        }
        try withExtendedLifetime(call) { () throws(RPCFailure) in try Self.checkStatus(of: call) }
        guard call.response.isEmpty, !malformed else {
            throw RPCFailure(
                withoutResponse: 13, "the answer of \(method.path) is not the contract's message")
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
    /// - Parameter arrived: Told after each read from the socket; may take from the call's
    ///   response.
    private func attempt(
        _ method: RPCMethod, _ request: [UInt8], _ deadline: Int64, _ arrived: (ClientCall) -> Void
    ) throws(RPCFailure) -> ClientCall {
        let call = ClientCall(keepsResponse: true)
        call.path = Array(method.path.utf8)
        // SAFETY: the bytes of the length are copied before the closure returns.
        call.body =
            [0] + withUnsafeBytes(of: UInt32(request.count).bigEndian) { Array($0) } + request
        call.metadata = [
            (
                "grpc-timeout",
                Array("\(max(1, min(deadline - Self.nowMilliseconds(), 99_999_999)))m".utf8)
            )
        ]
        if let key = self.key {
            call.metadata.append(("authorization", Array("Bearer \(key)".utf8)))
        }
        let connection: ClientConnection
        do {
            connection = try self.connected(deadline)
            connection.start(call)
            try self.finish(call, on: connection, deadline, arrived)
        } catch {
            self.connection = nil
            throw RPCFailure(withoutResponse: RPCFailure.unavailable, self.text(error))
        }
        guard call.hasEnded else {
            // The call goes with its connection: a late answer must not meet the next call.
            self.connection = nil
            throw RPCFailure(
                withoutResponse: RPCFailure.deadlineExceeded,
                "\(self.address) did not answer in time")
        }
        return call
    }

    private func connected(_ deadline: Int64) throws(ClientError) -> ClientConnection {
        if let connection = self.connection { return connection }
        let rest = max(1, min(deadline - Self.nowMilliseconds(), 5_000))
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
            let rest = deadline - Self.nowMilliseconds()
            guard !call.hasEnded, rest > 0 else { return }
            var polled = pollfd(
                fd: connection.descriptor,
                events: Int16(POLLIN) | (wantsToWrite ? Int16(POLLOUT) : 0), revents: 0)
            poll(&polled, 1, Int32(min(rest, 1_000)))
        }
    }

    private static func checkStatus(of call: ClientCall) throws(RPCFailure) {
        guard call.status != 0 else { return }
        // A stream that ended without a status was reset, or was no gRPC: nobody knows what became
        // of it.
        let code = call.status < 0 ? RPCFailure.unavailable : call.status
        throw RPCFailure(
            code: code, message: call.status < 0 ? "the call was cut off" : call.message,
            details: call.details)
    }

    /// Takes the first whole message out of what has come; `nil`: none is whole.
    private static func nextMessage(of call: ClientCall) -> [UInt8]? {
        guard call.response.count >= 5, call.response[0] == 0 else { return nil }
        let end = 5 + call.response[1 ..< 5].reduce(0) { $0 << 8 | Int($1) }
        guard call.response.count >= end else { return nil }
        defer { call.response.removeSubrange(..<end) }
        return Array(call.response[5 ..< end])
    }

    private static func response(_ call: ClientCall) throws(RPCFailure) -> [UInt8] {
        try self.checkStatus(of: call)
        guard call.response.count >= 5, call.response[0] == 0,
            call.response[1 ..< 5].reduce(0, { $0 << 8 | Int($1) }) == call.response.count - 5
        else { throw RPCFailure(withoutResponse: 13, "the answer is not one message") }
        return Array(call.response.dropFirst(5))
    }

    private func text(_ error: ClientError) -> String {
        switch error {
        case .socket(_, let errno):
            "cannot reach \(self.address): \(String(cString: strerror(errno)))"
        case .unknownHost: "cannot reach \(self.address): no such host"
        case .closed:
            "cannot reach \(self.address): the connection was closed (is that the service's gRPC "
                + "port?)"
        }
    }

    private static func nowMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
