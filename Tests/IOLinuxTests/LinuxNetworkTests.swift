import Foundation
import Glibc
import IOCore
import IOLinux
import Testing

/// Listening sockets, alone and shared by several takers.
@Suite struct LinuxNetworkTests {
    /// A connected TCP client.
    private final class Client {
        let descriptor: Int32

        init?(_ address: String) {
            guard let colon = address.lastIndex(of: ":"),
                let port = UInt16(address[address.index(after: colon)...])
            else { return nil }
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = port.bigEndian
            target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            self.descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            let connected = withUnsafePointer(to: &target) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(self.descriptor, $0, UInt32(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard connected == 0 else { return nil }
        }

        deinit { close(self.descriptor) }
    }

    private func listens(_ address: String, host: String, count: Int) -> Bool {
        let port = UInt16(address.split(separator: ":").last!)!
        guard
            let found = try? LinuxNetwork().listen(host: host, port: port, count: count)
        else { return false }
        for listener in found { listener.close() }
        return true
    }

    /// Accepts until nothing waits; in the order of the takers, as their threads would do it.
    private func acceptAll(_ listeners: [any ListeningSocket]) -> [[any StreamSocket]] {
        listeners.map { listener in
            var sockets: [any StreamSocket] = []
            while case .socket(let socket) = listener.accept() { sockets.append(socket) }
            return sockets
        }
    }

    @Test(arguments: [1, 3])
    func portIsExclusiveUntilItsSocketIsClosed(count: Int) throws {
        let listeners = try LinuxNetwork().listen(host: "127.0.0.1", port: 0, count: count)
        #expect(listeners.count == count && Set(listeners.map(\.address)).count == 1)
        let address = listeners[0].address
        for host in ["127.0.0.1", "0.0.0.0", "::"] {
            for others in [1, 2] { #expect(!self.listens(address, host: host, count: others)) }
        }
        for listener in listeners { listener.close() }
        #expect(self.listens(address, host: "127.0.0.1", count: 2))
    }

    @Test func connectionsGoToTheTakerWithTheFewest() throws {
        let listeners = try LinuxNetwork().listen(host: "127.0.0.1", port: 0, count: 3)
        defer { for listener in listeners { listener.close() } }
        let clients = try (0 ..< 90).map { _ in try #require(Client(listeners[0].address)) }
        var sockets = self.acceptAll(listeners)
        #expect(sockets.map(\.count) == [30, 30, 30])
        // The second taker loses ten: the next ten are its own.
        for _ in 0 ..< 10 { sockets[1].removeLast().close() }
        let more = try (0 ..< 10).map { _ in try #require(Client(listeners[0].address)) }
        let next = self.acceptAll(listeners)
        #expect(next.map(\.count) == [0, 10, 0])
        for socket in sockets.joined() { socket.close() }
        for socket in next.joined() { socket.close() }
        #expect(clients.count + more.count == 100)
    }

    /// Each has a descriptor that nobody counts yet.
    @Test func noMoreConnectionsWaitForATakerThanItTakesInOneTick() throws {
        let listeners = try LinuxNetwork().listen(host: "127.0.0.1", port: 0, count: 2)
        defer { for listener in listeners { listener.close() } }
        let clients = try (0 ..< 200).map { _ in try #require(Client(listeners[0].address)) }
        let own = self.acceptAll([listeners[0]])[0]
        let other = self.acceptAll([listeners[1]])[0]
        #expect(clients.count == 200 && own.count == 136 && other.count == 64)
        for socket in own + other { socket.close() }
    }

    /// What waits for a peer that does not read is the transport's to count.
    @Test func theKernelTakesLittleForAPeerThatDoesNotRead() throws {
        let listener = try LinuxNetwork().listen(host: "127.0.0.1", port: 0, count: 1)[0]
        defer { listener.close() }
        let client = try #require(Client(listener.address))
        let sockets = self.acceptAll([listener])[0]
        let socket = try #require(sockets.first)
        let piece = [UInt8](repeating: 0, count: 64 << 10)
        var taken = 0
        while taken < 16 << 20,
            case .bytes(let count) = piece.withUnsafeBytes({ socket.write($0) })
        { taken += count }
        // What the peer's own kernel keeps comes on top.
        #expect(client.descriptor > 0 && taken < 1 << 20, "\(taken) bytes")
        socket.close()
    }

    @Test func takerIsWokenByItsPollerWhenAConnectionIsHandedToIt() throws {
        let network = LinuxNetwork()
        let listeners = try network.listen(host: "127.0.0.1", port: 0, count: 2)
        defer { for listener in listeners { listener.close() } }
        let pollers = [try network.makePoller(), try network.makePoller()]
        for (poller, listener) in zip(pollers, listeners) {
            try poller.add(listener.descriptor, tag: 7, interest: .read)
        }
        let clients = [Client(listeners[0].address), Client(listeners[0].address)]
        #expect(pollers[1].wait(forNanoseconds: 0).ready.isEmpty)
        #expect(pollers[0].wait(forNanoseconds: 1_000_000_000).ready.map(\.tag) == [7])
        var own: [any StreamSocket] = []
        while case .socket(let socket) = listeners[0].accept() { own.append(socket) }
        #expect(own.count == 1)
        #expect(pollers[1].wait(forNanoseconds: 1_000_000_000).ready.map(\.tag) == [7])
        guard case .socket(let handed) = listeners[1].accept() else {
            Issue.record("nothing was handed over")
            return
        }
        #expect(handed.peer.hasPrefix("127.0.0.1:"))
        // Level-triggered, but only while something waits.
        guard case .wouldBlock = listeners[1].accept() else {
            Issue.record("more than one")
            return
        }
        #expect(pollers[1].wait(forNanoseconds: 0).ready.isEmpty)
        for socket in own + [handed] { socket.close() }
        #expect(clients.count == 2)
    }

    @Test func closedTakerGetsNothingMoreAndWhatWaitedForItIsClosed() throws {
        let listeners = try LinuxNetwork().listen(host: "127.0.0.1", port: 0, count: 2)
        let clients = try (0 ..< 4).map { _ in try #require(Client(listeners[0].address)) }
        let own = self.acceptAll([listeners[0]])[0]
        #expect(own.count == 2)
        listeners[1].close()
        var byte: UInt8 = 0
        let ended = clients.count { client in
            var watched = pollfd(fd: client.descriptor, events: Int16(POLLIN), revents: 0)
            return poll(&watched, 1, 100) == 1 && recv(client.descriptor, &byte, 1, 0) <= 0
        }
        #expect(ended == 2)
        let more = try (0 ..< 4).map { _ in try #require(Client(listeners[0].address)) }
        let next = self.acceptAll([listeners[0]])[0]
        #expect(next.count == more.count)
        for socket in own + next { socket.close() }
        listeners[0].close()
    }

    @Test func wildcardOfIPv6ServesIPv4Too() throws {
        guard let listener = try? LinuxNetwork().listen(host: "::", port: 0) else { return }
        defer { listener.close() }
        let client = Client(listener.address)
        #expect(client != nil)
        guard case .socket(let socket) = listener.accept() else {
            Issue.record("not accepted")
            return
        }
        socket.close()
    }
}
