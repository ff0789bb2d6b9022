import Glibc

/// One call whose messages arrive over time, such as a Watch: a stream of responses, perhaps with
/// one of requests, on a connection of its own and without a deadline.
///
/// Blocking, used by one thread. While nobody takes messages, the server is held back by flow
/// control: received and not taken are at most the stream's window of 1 MiB and one message.
package final class StreamingCall {
    /// What a wait has brought.
    package enum Arrival: Equatable {
        case message([UInt8])
        /// One of the other descriptors is ready.
        case interruption
        /// The time is over.
        case silence
        /// The stream has ended with OK.
        case end
    }

    private let method: RPCMethod
    private let address: ServerAddress
    private let call = ClientCall(keepsResponse: true)
    private let connection: ClientConnection

    /// Connects, and starts the call.
    ///
    /// - Parameters:
    ///   - request: The first message.
    ///   - isLast: Whether the stream of requests ends with it.
    ///   - connectMilliseconds: How long the connection may take.
    /// - Throws: `RPCFailure` without a response if the server cannot be reached.
    package init(
        _ method: RPCMethod, to address: ServerAddress, key: String?, request: [UInt8],
        isLast: Bool, connectMilliseconds: Int64
    ) throws(RPCFailure) {
        (self.method, self.address) = (method, address)
        self.call.path = Array(method.path.utf8)
        self.call.body = ClientFraming.framed(request)
        self.call.isBodyOpen = !isLast
        if let key { self.call.metadata = [("authorization", Array("Bearer \(key)".utf8))] }
        do throws(ClientError) {
            self.connection = try ClientConnection(
                address, timeoutMilliseconds: Int32(clamping: max(1, connectMilliseconds)))
            try self.connection.start(self.call)
        } catch {
            throw RPCFailure(error, reaching: address)
        }
    }

    /// Queues another message of the request; it is sent by the next wait.
    package func send(_ message: [UInt8]) {
        self.connection.extend(self.call, with: ClientFraming.framed(message), isLast: false)
    }

    /// Ends the stream of requests.
    package func finishSending() {
        self.connection.extend(self.call, with: [], isLast: true)
    }

    /// Waits for the next message.
    ///
    /// - Parameters:
    ///   - milliseconds: How long at most.
    ///   - others: End the wait when one of their events, or an error, occurs.
    /// - Throws: `RPCFailure` if the stream has ended with any status but OK, the connection was
    ///   lost, or what arrived is not gRPC.
    package func next(within milliseconds: Int64, or others: [pollfd] = []) throws(RPCFailure)
        -> Arrival
    {
        let deadline = ClientClock.milliseconds() + milliseconds
        var polled = [pollfd(fd: self.connection.descriptor, events: 0, revents: 0)] + others
        while true {
            if let message = self.call.takeMessage() { return .message(message) }
            if self.call.hasEnded { return try self.end() }
            let hasOutput: Bool
            do throws(ClientError) {
                hasOutput = try self.connection.turn()
            } catch {
                // What has come before the end of the connection is still to be taken.
                if self.call.hasMessage || self.call.hasEnded { continue }
                throw RPCFailure(error, reaching: self.address)
            }
            let hasArrived = self.call.hasMessage || self.call.hasEnded
            guard hasArrived || !self.connection.isFinished else {
                throw RPCFailure(.closed, reaching: self.address)
            }
            let rest = hasArrived ? 0 : deadline - ClientClock.milliseconds()
            polled[0].events = Int16(POLLIN) | (hasOutput ? Int16(POLLOUT) : 0)
            for index in polled.indices { polled[index].revents = 0 }
            poll(&polled, nfds_t(polled.count), Int32(clamping: max(0, rest)))
            if polled.dropFirst().contains(where: { $0.revents != 0 }) { return .interruption }
            if !hasArrived, rest <= 0 { return .silence }
        }
    }

    private func end() throws(RPCFailure) -> Arrival {
        try self.call.checkStatus()
        guard self.call.isDrained else { throw self.method.unexpectedFormat }
        return .end
    }
}
