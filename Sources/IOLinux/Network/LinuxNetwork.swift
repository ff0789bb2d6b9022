import CLinux
import Glibc
import IOCore

/// TCP sockets and epoll.
package final class LinuxNetwork: Network {
    /// Most connections that wait to be accepted.
    private static let backlog: Int32 = 1_024

    /// Bytes that the kernel takes of a connection before they are sent, about: beyond it a peer
    /// that does not read would move what waits for it from the budgets of the transport to the
    /// buffers of the kernel, up to 4 MiB for each connection.
    private static let unsentBytesMax: Int32 = 128 << 10

    package init() {}

    package func makePoller() throws(IOError) -> any Poller {
        try EpollPoller()
    }

    package func listen(
        host: String, port: UInt16, count: Int
    ) throws(IOError) -> [any ListeningSocket] {
        precondition(count > 0, "somebody accepts")
        guard count > 1 else { return [try self.listen(host: host, port: port, shares: nil)] }
        let events = (1 ..< count).map { _ in linux_eventfd() }
        do throws(IOError) {
            guard events.allSatisfy({ $0 >= 0 }) else {
                throw IOError(operation: "eventfd", subject: host)
            }
            let shares = ConnectionShares(events: events)
            let listener = try self.listen(host: host, port: port, shares: shares)
            return [listener]
                + events.enumerated().map { index, event in
                    LinuxInbox(
                        event: event, index: index + 1, address: listener.address, shares: shares)
                }
        } catch {
            for event in events where event >= 0 { Glibc.close(event) }
            throw error
        }
    }

    private func listen(
        host: String, port: UInt16, shares: ConnectionShares?
    ) throws(IOError) -> LinuxListener {
        guard var address = SocketAddress(host: host, port: port) else {
            throw IOError(.other, operation: "listen", subject: host, code: EINVAL)
        }
        let descriptor = linux_tcp_socket(address.family)
        guard descriptor >= 0 else { throw IOError(operation: "socket", subject: "\(address)") }
        // A restart may bind while connections of its predecessor linger; two listening sockets
        // exclude each other all the same.
        _ = linux_set_option(descriptor, linux_sol_socket, linux_so_reuseaddr, 1)
        // Accepted sockets inherit it.
        _ = linux_set_option(
            descriptor, linux_ipproto_tcp, linux_tcp_notsent_lowat, Self.unsentBytesMax)
        if address.family == AF_INET6 {
            // "::" means every address of the machine, IPv4 included, whatever the system's default
            // is.
            _ = linux_set_option(
                descriptor, linux_ipproto_ipv6, linux_ipv6_v6only, address.isAnyVersion6 ? 0 : 1)
        }
        let bytes = address.bytes
        // SAFETY: the storage of a `SocketAddress` is as large as any address; `bytes` is the
        // length of the one it holds. The kernel copies it.
        let bound = withUnsafePointer(to: &address.storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, bytes)
            }
        }
        guard bound == 0, Glibc.listen(descriptor, Self.backlog) == 0 else {
            let error = IOError(operation: bound == 0 ? "listen" : "bind", subject: "\(address)")
            Glibc.close(descriptor)
            throw error
        }
        var actual = SocketAddress()
        var actualBytes = SocketAddress.capacity
        // SAFETY: the kernel writes at most `actualBytes`, the size of the storage.
        withUnsafeMutablePointer(to: &actual.storage) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &actualBytes)
            }
        }
        return LinuxListener(
            descriptor: descriptor, address: actual.description, shares: shares)
    }
}
