import Glibc
import IOCore
import IOLinux
import Testing

/// Connections of the process itself beside those of the network.
@Suite struct InProcessNetworkTests {
    private let network = InProcessNetwork(LinuxNetwork())

    private func isReady(_ listener: any ListeningSocket, _ poller: any Poller) -> Bool {
        poller.wait(forNanoseconds: 0).ready.contains { $0.tag == 7 }
    }

    @Test func connectionIsAcceptedByTheFirstListenerAndCarriesBytesBothWays() throws {
        let listeners = try self.network.listen(host: "127.0.0.1", port: 0, count: 2)
        defer { for listener in listeners { listener.close() } }
        let poller = try self.network.makePoller()
        try poller.add(listeners[0].descriptor, tag: 7, interest: .read)
        #expect(!self.isReady(listeners[0], poller))
        let client = try #require(self.network.connect())
        defer { close(client) }
        #expect(self.isReady(listeners[0], poller))
        guard case .wouldBlock = listeners[1].accept(),
            case .socket(let socket) = listeners[0].accept()
        else {
            Issue.record("not accepted")
            return
        }
        defer { socket.close() }
        #expect(socket.peer == "0.0.0.0:0")
        guard case .wouldBlock = listeners[0].accept() else {
            Issue.record("accepted twice")
            return
        }
        #expect(!self.isReady(listeners[0], poller))
        var bytes: [UInt8] = [1, 2, 3]
        #expect(send(client, bytes, bytes.count, 0) == 3)
        // SAFETY: the array is borrowed for the closure.
        #expect(bytes.withUnsafeMutableBytes { socket.read(into: $0) } == .bytes(3))
        #expect(bytes.withUnsafeBytes { socket.write($0) } == .bytes(3))
        #expect(recv(client, &bytes, 3, 0) == 3)
    }

    @Test func listenerIsReadyUntilNobodyWaits() throws {
        let listener = try self.network.listen(host: "127.0.0.1", port: 0)
        defer { listener.close() }
        let poller = try self.network.makePoller()
        try poller.add(listener.descriptor, tag: 7, interest: .read)
        let clients = try (0 ..< 2).map { _ in try #require(self.network.connect()) }
        defer { for client in clients { close(client) } }
        for isLast in [false, true] {
            guard case .socket(let socket) = listener.accept() else {
                Issue.record("not accepted")
                return
            }
            defer { socket.close() }
            #expect(self.isReady(listener, poller) == !isLast)
        }
    }

    @Test func nobodyConnectsBeforeAndBehindTheListener() throws {
        #expect(self.network.connect() == nil)
        let listener = try self.network.listen(host: "127.0.0.1", port: 0)
        let client = try #require(self.network.connect())
        defer { close(client) }
        listener.close()
        #expect(self.network.connect() == nil)
        var byte: UInt8 = 0
        // What waited sees its end.
        #expect(recv(client, &byte, 1, 0) == 0)
    }

    @Test func connectionsThatWaitAreBounded() throws {
        let listener = try self.network.listen(host: "127.0.0.1", port: 0)
        defer { listener.close() }
        let clients = (0 ..< 65).map { _ in self.network.connect() }
        defer { for client in clients { if let client { close(client) } } }
        #expect(clients.count { $0 != nil } == 64 && clients[64] == nil)
    }
}
