import Glibc

/// The bytes of a client's connection, encrypted or not; non-blocking once it is made.
final class ClientSocket {
    let descriptor: Int32
    #if TLS
        private let session: ClientTLSSession?
    #endif

    /// Connects, and makes the connection encrypted if the address says so.
    init(_ address: ServerAddress, timeoutMilliseconds: Int32) throws(ClientError) {
        let deadline = ClientClock.milliseconds() + Int64(timeoutMilliseconds)
        let descriptor = try address.connect(timeoutMilliseconds: timeoutMilliseconds)
        self.descriptor = descriptor
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        #if TLS
            do throws(ClientError) {
                self.session = try address.tls.map { tls throws(ClientError) in
                    try ClientTLSSession(
                        tls, host: address.host, descriptor: descriptor,
                        untilMilliseconds: deadline)
                }
            } catch {
                close(descriptor)
                throw error
            }
        #else
            precondition(address.tls == nil && deadline >= 0, "no address asks for TLS")
        #endif
    }

    deinit {
        #if TLS
            self.session?.sayGoodbye()
        #endif
        close(self.descriptor)
    }

    var isEncrypted: Bool {
        #if TLS
            self.session != nil
        #else
            false
        #endif
    }

    /// Receives what is there.
    ///
    /// - Parameter target: 64 KiB of the caller.
    /// - Returns: The number of bytes; 0: there are none now.
    /// - Throws: `.closed` at the end of the connection.
    func receive(_ target: UnsafeMutableRawBufferPointer) throws(ClientError) -> Int {
        #if TLS
            if let session = self.session { return try session.receive(target) }
        #endif
        // SAFETY: pointer and count are of one buffer, borrowed for the call.
        let count = recv(self.descriptor, target.baseAddress, target.count, 0)
        if count == 0 { throw .closed }
        guard count < 0 else { return count }
        guard errno == EAGAIN || errno == EINTR else {
            throw .socket(operation: "recv", errno: errno)
        }
        return 0
    }

    /// Sends as much as the kernel takes.
    ///
    /// - Parameter source: What was not sent must be the beginning of the next call's.
    /// - Returns: The number of bytes; 0: none can be sent now.
    func send(_ source: UnsafeRawBufferPointer) throws(ClientError) -> Int {
        #if TLS
            if let session = self.session { return try session.send(source) }
        #endif
        // SAFETY: as above.
        let count = Glibc.send(
            self.descriptor, source.baseAddress, source.count, Int32(MSG_NOSIGNAL))
        guard count < 0 else { return count }
        guard errno == EAGAIN || errno == EINTR else {
            throw .socket(operation: "send", errno: errno)
        }
        return 0
    }
}
