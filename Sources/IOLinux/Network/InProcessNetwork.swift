import CLinux
import Glibc
import IOCore

// The profile page calls the service as any client does, so that it can show nobody more than their
// key allows. It does not use the port for that: it needs no certificate where the port demands
// one, and nothing else can connect here. Source: docs/decisions/0510-the-page-is-a-client.md.

/// A network whose first listener also takes connections of this process.
package final class InProcessNetwork: Network {
    /// Connections that wait to be taken: more than the page ever has.
    static let waitingMax = 64
    /// What such a connection is known by: an address that no host has (RFC 1122, 3.2.1.3), and
    /// another one for each connection, since limits of addresses are made for hosts.
    static func peer(number: UInt8) -> String { "0.0.0.\(number):0" }

    private let network: any Network
    private let inbox = InProcessInbox()

    package init(_ network: any Network) {
        self.network = network
    }

    package func makePoller() throws(IOError) -> any Poller { try self.network.makePoller() }

    package func listen(
        host: String, port: UInt16, count: Int
    ) throws(IOError) -> [any ListeningSocket] {
        var listeners = try self.network.listen(host: host, port: port, count: count)
        do throws(IOError) {
            listeners[0] = try InProcessListener(listeners[0], inbox: self.inbox)
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        return listeners
    }

    /// Connects to the first listener; from any thread.
    ///
    /// - Returns: A non-blocking stream socket; `nil` while nobody listens, or too many wait.
    package func connect() -> Int32? {
        var pair: [Int32] = [-1, -1]
        let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        guard socketpair(AF_UNIX, Int32(kind), 0, &pair) == 0 else { return nil }
        guard self.inbox.put(pair[1]) else {
            for descriptor in pair { Glibc.close(descriptor) }
            return nil
        }
        return pair[0]
    }
}

/// The connections on their way to the listener.
private final class InProcessInbox: Sendable {
    private struct State: Sendable {
        var waiting: [Int32] = []
        /// An eventfd, readable while connections wait; -1: nobody listens.
        var event: Int32 = -1
    }

    private let state = Guarded(State())

    func open(event: Int32) {
        self.state.withLock { $0.event = event }
    }

    func put(_ descriptor: Int32) -> Bool {
        self.state.withLock { state in
            guard state.event >= 0, state.waiting.count < InProcessNetwork.waitingMax else {
                return false
            }
            state.waiting.append(descriptor)
            linux_eventfd_signal(state.event)
            return true
        }
    }

    func take() -> Int32? {
        self.state.withLock { state in
            guard !state.waiting.isEmpty else { return nil }
            let descriptor = state.waiting.removeFirst()
            if state.waiting.isEmpty { linux_eventfd_clear(state.event) }
            return descriptor
        }
    }

    func close() {
        let waiting = self.state.withLock { state in
            defer { state = State() }
            return state.waiting
        }
        for descriptor in waiting { Glibc.close(descriptor) }
    }
}

/// A listener that is ready when another one is, or when a connection waits in the inbox.
private final class InProcessListener: ListeningSocket {
    /// An epoll of both: an epoll is ready while one of its descriptors is.
    let descriptor: Int32
    private let event: Int32
    private let listener: any ListeningSocket
    private let inbox: InProcessInbox
    /// Of the next connection; more than can be open at a time.
    private var number: UInt8 = 0

    var address: String { self.listener.address }

    init(_ listener: any ListeningSocket, inbox: InProcessInbox) throws(IOError) {
        self.listener = listener
        self.inbox = inbox
        self.descriptor = linux_epoll_create()
        self.event = linux_eventfd()
        guard self.descriptor >= 0, self.event >= 0,
            linux_epoll_ctl(self.descriptor, 1, listener.descriptor, linux_epollin, 0) == 0,
            linux_epoll_ctl(self.descriptor, 1, self.event, linux_epollin, 1) == 0
        else {
            let error = IOError(operation: "epoll_create1", subject: listener.address)
            if self.descriptor >= 0 { Glibc.close(self.descriptor) }
            if self.event >= 0 { Glibc.close(self.event) }
            throw error
        }
        inbox.open(event: self.event)
    }

    func accept() -> AcceptOutcome {
        guard let descriptor = self.inbox.take() else { return self.listener.accept() }
        defer { self.number &+= 1 }
        return .socket(
            LinuxSocket(
                .init(descriptor: descriptor, peer: InProcessNetwork.peer(number: self.number))))
    }

    func close() {
        self.inbox.close()
        Glibc.close(self.event)
        Glibc.close(self.descriptor)
        self.listener.close()
    }
}
