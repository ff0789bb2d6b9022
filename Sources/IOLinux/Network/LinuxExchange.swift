import CLinux
import Glibc
import IOCore

/// One request and its response over a TCP connection of its own, on a thread that may wait.
///
/// For what the server sends to others, such as spans to a collector; the loops never wait.
package enum LinuxExchange {
    /// Bytes of one read.
    private static let readBytes = 4_096

    /// Connects, sends a request, and reads until a response is complete.
    ///
    /// - Parameters:
    ///   - host: An IPv4 or IPv6 literal.
    ///   - bytesMax: Most bytes of a response that are read.
    ///   - nanoseconds: For all of it.
    ///   - isComplete: Whether these bytes are a whole response; asked after each read.
    /// - Returns: What was read when it was complete, the peer had closed, or `bytesMax` were read.
    /// - Throws: `IOError`; `ETIMEDOUT` when the time is over.
    package static func exchange(
        _ request: [UInt8], with host: String, port: UInt16, bytesMax: Int,
        withinNanoseconds nanoseconds: UInt64, isComplete: ([UInt8]) -> Bool
    ) throws(IOError) -> [UInt8] {
        let clock = LinuxClock()
        let deadline = clock.monotonicNanoseconds() + nanoseconds
        guard var address = SocketAddress(host: host, port: port) else {
            throw IOError(.other, operation: "connect", subject: host, code: EINVAL)
        }
        let descriptor = linux_tcp_socket(address.family)
        guard descriptor >= 0 else { throw IOError(operation: "socket", subject: "\(address)") }
        defer { Glibc.close(descriptor) }
        let peer = address.description
        try self.connect(descriptor, &address, until: deadline)
        try self.send(request, to: descriptor, peer, until: deadline)
        var response: [UInt8] = []
        while response.count < bytesMax, !isComplete(response) {
            try self.wait(descriptor, POLLIN, peer, until: deadline)
            guard let part = try self.receive(descriptor, peer) else { break }
            response += part.prefix(bytesMax - response.count)
        }
        return response
    }

    private static func connect(
        _ descriptor: Int32, _ address: inout SocketAddress, until deadline: UInt64
    ) throws(IOError) {
        let bytes = address.bytes
        let peer = address.description
        // SAFETY: the storage of a `SocketAddress` is as large as any address; `bytes` is the
        // length of the one it holds. The kernel copies it.
        let result = withUnsafePointer(to: &address.storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, bytes)
            }
        }
        guard result != 0 else { return }
        guard errno == EINPROGRESS || errno == EINTR else {
            throw IOError(operation: "connect", subject: peer)
        }
        try self.wait(descriptor, POLLOUT, peer, until: deadline)
        var code: Int32 = 0
        var codeBytes = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &codeBytes)
        guard code == 0 else { throw IOError(operation: "connect", subject: peer, errno: code) }
    }

    private static func send(
        _ request: [UInt8], to descriptor: Int32, _ peer: String, until deadline: UInt64
    ) throws(IOError) {
        var sent = 0
        while sent < request.count {
            try self.wait(descriptor, POLLOUT, peer, until: deadline)
            // SAFETY: pointer and count are of the array, which outlives the call.
            let count = request[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno != EAGAIN && errno != EINTR {
                throw IOError(operation: "send", subject: peer)
            }
        }
    }

    /// Reads once; `nil`: the peer has closed.
    private static func receive(_ descriptor: Int32, _ peer: String) throws(IOError) -> [UInt8]? {
        var part = [UInt8](repeating: 0, count: Self.readBytes)
        // SAFETY: pointer and count are of the array, which outlives the call.
        let count = part.withUnsafeMutableBytes {
            Glibc.recv(descriptor, $0.baseAddress, $0.count, 0)
        }
        if count > 0 { return Array(part[..<count]) }
        if count == 0 { return nil }
        if errno == EAGAIN || errno == EINTR { return [] }
        throw IOError(operation: "recv", subject: peer)
    }

    /// Waits until the descriptor is ready.
    private static func wait(
        _ descriptor: Int32, _ events: Int32, _ peer: String, until deadline: UInt64
    ) throws(IOError) {
        while true {
            let now = LinuxClock().monotonicNanoseconds()
            guard now < deadline else {
                throw IOError(operation: "wait", subject: peer, errno: ETIMEDOUT)
            }
            var watched = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let milliseconds = min((deadline - now) / 1_000_000 + 1, 60_000)
            let ready = poll(&watched, 1, Int32(milliseconds))
            if ready > 0 { return }
            guard ready == 0 || errno == EINTR else {
                throw IOError(operation: "poll", subject: peer)
            }
        }
    }
}
