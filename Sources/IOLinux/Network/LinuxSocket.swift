import CLinux
import Glibc
import IOCore

/// A connected TCP socket.
final class LinuxSocket: StreamSocket {
    let descriptor: Int32
    let peer: String
    /// Where its end is counted.
    private let share: (of: ConnectionShares, index: Int)?

    init(_ accepted: ConnectionShares.Accepted, share: (of: ConnectionShares, index: Int)? = nil) {
        self.descriptor = accepted.descriptor
        self.peer = accepted.peer
        self.share = share
        // Responses are already combined into one write per tick; Nagle's algorithm would only add
        // latency.
        _ = linux_set_option(self.descriptor, linux_ipproto_tcp, linux_tcp_nodelay, 1)
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
        if let share { share.of.ended(for: share.index) }
    }
}

/// A listening TCP socket. With shares it keeps one of them and hands out the others.
final class LinuxListener: ListeningSocket {
    /// Its number among those who share its connections.
    private static let index = 0
    /// Connections accepted for others in one call, so that a flood of them cannot hold the caller.
    private static let handedOutMax = 64

    let descriptor: Int32
    let address: String
    private let shares: ConnectionShares?

    init(descriptor: Int32, address: String, shares: ConnectionShares?) {
        self.descriptor = descriptor
        self.address = address
        self.shares = shares
    }

    func accept() -> AcceptOutcome {
        for _ in 0 ..< Self.handedOutMax {
            var peer = SocketAddress()
            var bytes = SocketAddress.capacity
            // SAFETY: the kernel writes at most `bytes`, the size of the storage.
            let descriptor = withUnsafeMutableBytes(of: &peer.storage) {
                linux_accept(self.descriptor, $0.baseAddress, &bytes)
            }
            guard descriptor >= 0 else {
                switch errno {
                case EAGAIN: return .wouldBlock
                case EMFILE, ENFILE, ENOMEM, ENOBUFS: return .exhausted
                // EINTR, or the connection was aborted before it was accepted: try the next one.
                default: continue
                }
            }
            let accepted = ConnectionShares.Accepted(
                descriptor: descriptor, peer: peer.description)
            guard let shares = self.shares else { return .socket(LinuxSocket(accepted)) }
            if let own = shares.assign(accepted) {
                return .socket(LinuxSocket(own, share: (shares, Self.index)))
            }
        }
        // Readiness is level-triggered: the poller reports the rest again.
        return .wouldBlock
    }

    func close() {
        self.shares?.close(Self.index)
        Glibc.close(self.descriptor)
    }
}

/// Where the connections arrive that a `LinuxListener` hands to one taker.
final class LinuxInbox: ListeningSocket {
    /// An eventfd, readable while connections wait.
    let descriptor: Int32
    let address: String
    private let index: Int
    private let shares: ConnectionShares

    init(event: Int32, index: Int, address: String, shares: ConnectionShares) {
        self.descriptor = event
        self.index = index
        self.address = address
        self.shares = shares
    }

    func accept() -> AcceptOutcome {
        guard let accepted = self.shares.take(for: self.index) else { return .wouldBlock }
        return .socket(LinuxSocket(accepted, share: (self.shares, self.index)))
    }

    func close() {
        self.shares.close(self.index)
        Glibc.close(self.descriptor)
    }
}
