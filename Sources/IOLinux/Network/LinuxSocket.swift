import CLinux
import Glibc
import IOCore

/// A connected TCP socket.
final class LinuxSocket: StreamSocket {
    let descriptor: Int32
    let peer: String

    init(descriptor: Int32, peer: String) {
        self.descriptor = descriptor
        self.peer = peer
        // Responses are already combined into one write per tick; Nagle's algorithm would only add
        // latency.
        _ = linux_set_option(descriptor, linux_ipproto_tcp, linux_tcp_nodelay, 1)
    }

    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        while true {
            // SAFETY: pointer and count are of one buffer, borrowed for the call.
            let count = Glibc.recv(self.descriptor, target.baseAddress, target.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .closed
        }
    }

    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        while true {
            // SAFETY: as above.
            let count = Glibc.send(
                self.descriptor, source.baseAddress, source.count, Int32(MSG_NOSIGNAL))
            if count > 0 { return .bytes(count) }
            if count < 0, errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .closed
        }
    }

    func shutdownWrite() {
        // The error for a connection that is gone is ignored: its end is read.
        _ = Glibc.shutdown(self.descriptor, Int32(SHUT_WR))
    }

    func close() {
        Glibc.close(self.descriptor)
    }
}

/// A listening TCP socket.
final class LinuxListener: ListeningSocket {
    let descriptor: Int32
    let address: String

    init(descriptor: Int32, address: String) {
        self.descriptor = descriptor
        self.address = address
    }

    func accept() -> AcceptOutcome {
        while true {
            var peer = SocketAddress()
            var bytes = SocketAddress.capacity
            let accepted = withUnsafeMutableBytes(of: &peer.storage) {
                linux_accept(self.descriptor, $0.baseAddress, &bytes)
            }
            if accepted >= 0 {
                return .socket(LinuxSocket(descriptor: accepted, peer: peer.description))
            }
            switch errno {
            case EAGAIN: return .wouldBlock
            case EMFILE, ENFILE, ENOMEM, ENOBUFS: return .exhausted
            // EINTR, or the connection was aborted before it was accepted: try the next one.
            default: continue
            }
        }
    }

    func close() {
        Glibc.close(self.descriptor)
    }
}
