import Glibc
import IOCore

/// The datagram socket of a service manager such as systemd, as `sd_notify(3)` uses it: written to
/// directly, since libsystemd would be a dependency for a few lines of text.
package final class LinuxNotifySocket: Sendable {
    /// How a message was sent.
    package enum Outcome: Sendable {
        case sent
        /// The receiver's queue is full: try again.
        case wouldBlock
        case failed(IOError)
    }

    /// Longest path, in bytes: `sun_path` of `sockaddr_un` with its zero.
    package static let pathBytesMax = 108 - 1

    private let descriptor: Int32
    private let path: String

    /// - Parameter path: An absolute path, or `@` and a name of the abstract namespace; 2 ...
    ///   `pathBytesMax` bytes.
    /// - Throws: `IOError` if there is no descriptor for it.
    package init(path: String) throws(IOError) {
        precondition(path.utf8.count <= Self.pathBytesMax, "sun_path has 108 bytes")
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw IOError(operation: "socket", subject: path) }
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(self.descriptor) }

    /// Sends one datagram, and never waits.
    package func send(_ text: String) -> Outcome {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(self.path.utf8)
        let isAbstract = name.first == UInt8(ascii: "@")
        let header = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 0
        // An abstract name is as long as the address says; a path ends with its zero.
        let count = socklen_t(header + name.count + (isAbstract ? 0 : 1))
        let message = Array(text.utf8)
        while true {
            // SAFETY: `init` has checked that the name fits behind the header of the address; all
            // pointers are of values of this function, borrowed for the calls, with their counts.
            let sent = withUnsafeMutableBytes(of: &address) { raw in
                raw[header...].copyBytes(from: name)
                if isAbstract { raw[header] = 0 }
                return raw.withMemoryRebound(to: sockaddr.self) {
                    sendto(
                        self.descriptor, message, message.count, Int32(MSG_NOSIGNAL),
                        $0.baseAddress, count)
                }
            }
            if sent >= 0 { return .sent }
            switch errno {
            case EINTR: continue
            case EAGAIN, ENOBUFS: return .wouldBlock
            default: return .failed(IOError(operation: "sendto", subject: self.path))
            }
        }
    }
}
