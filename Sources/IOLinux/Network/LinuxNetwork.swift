import CLinux
import Glibc
import IOCore

/// TCP sockets and epoll.
package final class LinuxNetwork: Network {
    /// Most connections that wait to be accepted.
    private static let backlog: Int32 = 1_024

    package init() {}

    package func makePoller() throws(IOError) -> any Poller {
        try EpollPoller()
    }

    package func listen(host: String, port: UInt16, sharesPort: Bool) throws(IOError)
        -> any ListeningSocket
    {
        guard var address = SocketAddress(host: host, port: port) else {
            throw IOError(.other, operation: "listen", subject: host, code: EINVAL)
        }
        let descriptor = linux_tcp_socket(address.family)
        guard descriptor >= 0 else { throw IOError(operation: "socket", subject: "\(address)") }
        _ = linux_set_option(descriptor, linux_sol_socket, linux_so_reuseaddr, 1)
        if sharesPort { _ = linux_set_option(descriptor, linux_sol_socket, linux_so_reuseport, 1) }
        if address.family == AF_INET6 {
            _ = linux_set_option(descriptor, linux_ipproto_ipv6, linux_ipv6_v6only, 1)
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
        return LinuxListener(descriptor: descriptor, address: actual.description)
    }
}
