import Glibc

/// Where a server listens: `127.0.0.1:50051`, `localhost:50051`, `[::1]:50051`, `:50051` (this
/// machine).
package struct ServerAddress: Equatable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: UInt16
    /// Opens connections within this process, in place of the network; non-blocking descriptors,
    /// `nil` if none is taken. Not compared.
    package var dial: (@Sendable () -> Int32?)?
    /// How the connection is encrypted; `nil`: it is not.
    package var tls: ClientTLS?

    package init(host: String = "127.0.0.1", port: UInt16) {
        self.host = host
        self.port = port
    }

    package static func == (left: ServerAddress, right: ServerAddress) -> Bool {
        left.host == right.host && left.port == right.port && left.tls == right.tls
    }

    /// `nil` where `parse` throws.
    package init?(_ text: String) {
        guard let found = try? Self.parse(text) else { return nil }
        self = found
    }

    /// Why a text is not an address.
    package struct Invalid: Error, Equatable {
        package let reason: String
    }

    /// Parses `HOST:PORT`, `http://HOST:PORT`, as people copy it from other tools, or
    /// `https://HOST:PORT`, which means TLS.
    ///
    /// - Throws: `Invalid` with the reason, such as `https` in a program that was built without it.
    package static func parse(_ text: String) throws(Invalid) -> ServerAddress {
        var rest = Substring(text)
        var tls: ClientTLS?
        if let separator = text.firstRange(of: "://") {
            let scheme = text[..<separator.lowerBound].lowercased()
            switch scheme {
            case "http": break
            case "https" where ClientTLS.isBuilt: tls = ClientTLS()
            case "https":
                throw Invalid(reason: "https is not supported, since \(ClientTLS.notBuilt)")
            default:
                throw Invalid(
                    reason: "unknown scheme \(scheme); expected HOST:PORT, http://HOST:PORT or "
                        + "https://HOST:PORT")
            }
            rest = text[separator.upperBound...]
            if rest.hasSuffix("/") { rest.removeLast() }
            guard !rest.contains(where: { "/?#@".contains($0) }) else {
                throw Invalid(reason: "expected only http://HOST:PORT, without path and user")
            }
        }
        guard let colon = rest.lastIndex(of: ":") else {
            throw Invalid(reason: "expected HOST:PORT; the port is missing")
        }
        guard let port = UInt16(rest[rest.index(after: colon)...]), port > 0 else {
            throw Invalid(reason: "expected HOST:PORT, with a port from 1 to 65535")
        }
        var host = String(rest[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        var address = ServerAddress(host: host.isEmpty ? "127.0.0.1" : host, port: port)
        address.tls = tls
        return address
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// Opens a non-blocking connection to the first address of the name that accepts one.
    func connect(timeoutMilliseconds: Int32) throws(ClientError) -> Int32 {
        if let dial {
            guard let descriptor = dial() else {
                throw .socket(operation: "connect", errno: ECONNREFUSED)
            }
            return descriptor
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(self.host, String(self.port), &hints, &list) == 0 else {
            throw .unknownHost
        }
        defer { freeaddrinfo(list) }
        var failure = ECONNREFUSED
        var next = list
        // SAFETY: the list is getaddrinfo's until freeaddrinfo below; each `ai_next` and address in
        // it is valid until then.
        while let candidate = next {
            next = candidate.pointee.ai_next
            let descriptor = socket(candidate.pointee.ai_family, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else { throw .socket(operation: "socket", errno: errno) }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            failure = self.finish(
                descriptor,
                Glibc.connect(descriptor, candidate.pointee.ai_addr, candidate.pointee.ai_addrlen),
                timeoutMilliseconds)
            if failure == 0 { return descriptor }
            close(descriptor)
        }
        throw .socket(operation: "connect", errno: failure)
    }

    /// Waits for a connection in progress; 0, or the errno of its failure.
    private func finish(_ descriptor: Int32, _ started: Int32, _ timeoutMilliseconds: Int32)
        -> Int32
    {
        if started == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&polled, 1, timeoutMilliseconds) > 0 else { return ETIMEDOUT }
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
        return failure
    }
}
