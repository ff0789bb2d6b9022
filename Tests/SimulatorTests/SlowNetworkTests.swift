import IOCore
import IOSimulation
import Testing

/// Connections that are late, overtake each other, or carry nothing more.
@Suite struct SlowNetworkTests {
    private struct Pair {
        let network: SimulatedNetwork
        let client: SimulatedSocket
        let server: any StreamSocket

        init(_ network: SimulatedNetwork, _ listener: any ListeningSocket) throws {
            self.network = network
            self.client = try #require(network.connect(to: listener.address))
            guard case .socket(let server) = listener.accept() else {
                throw IOError(.other, operation: "accept", subject: "", code: 0)
            }
            self.server = server
        }

        func send(_ text: String) -> Int {
            let outcome = Array(text.utf8).withUnsafeBytes { self.client.write($0) }
            if case .bytes(let count) = outcome { return count }
            return 0
        }

        /// What the server reads; `nil`: that no more comes.
        func received() -> String? {
            withUnsafeTemporaryAllocation(byteCount: 100, alignment: 8) { buffer in
                switch self.server.read(into: buffer) {
                case .closed: nil
                case .wouldBlock: ""
                case .bytes(let count): String(decoding: buffer[..<count], as: UTF8.self)
                }
            }
        }
    }

    private static func pairs(_ count: Int) throws -> (network: SimulatedNetwork, pairs: [Pair]) {
        let network = SimulatedNetwork()
        let listener = try network.listen(host: "127.0.0.1", port: 1, count: 1)[0]
        return (network, try (0 ..< count).map { _ in try Pair(network, listener) })
    }

    @Test func bytesArriveAfterTheirDelayAndInOrder() throws {
        let (network, pairs) = try Self.pairs(1)
        network.delay(network.connections[0], nanoseconds: 100)
        #expect(pairs[0].send("one") == 3)
        network.advance(to: 50)
        network.delay(network.connections[0], nanoseconds: 0)
        #expect(pairs[0].send("two") == 3)
        #expect(pairs[0].received()?.isEmpty == true)
        #expect(network.nextArrival == 100)
        network.advance(to: 100)
        #expect(pairs[0].received() == "onetwo")
        #expect(network.nextArrival == nil)
    }

    @Test func connectionsOvertakeEachOther() throws {
        let (network, pairs) = try Self.pairs(2)
        network.delay(network.connections[0], nanoseconds: 100)
        _ = pairs[0].send("first")
        _ = pairs[1].send("second")
        #expect(pairs[0].received()?.isEmpty == true)
        #expect(pairs[1].received() == "second")
    }

    @Test func endIsSeenBehindTheBytesBeforeIt() throws {
        let (network, pairs) = try Self.pairs(1)
        network.delay(network.connections[0], nanoseconds: 100)
        _ = pairs[0].send("last")
        pairs[0].client.close()
        #expect(pairs[0].received()?.isEmpty == true)
        network.advance(to: 100)
        #expect(pairs[0].received() == "last")
        #expect(pairs[0].received() == nil)
    }

    @Test func halfOpenConnectionsCarryNothingUntilTheyAreCut() throws {
        let (network, pairs) = try Self.pairs(1)
        network.delay(network.connections[0], nanoseconds: .max)
        #expect(pairs[0].send("lost") == 4)
        pairs[0].client.close()
        network.advance(to: .max - 1)
        #expect(pairs[0].received()?.isEmpty == true)
        #expect(network.nextArrival == nil)
        network.cutAll()
        #expect(pairs[0].received() == nil)
    }

    /// The client closes its end before the server looks at its own.
    @Test func cutOfAHalfOpenConnectionIsSeenAlthoughItsClientCloses() throws {
        let (network, pairs) = try Self.pairs(1)
        let connection = network.connections[0]
        network.delay(connection, nanoseconds: .max)
        network.cut(connection)
        pairs[0].client.close()
        #expect(pairs[0].received() == nil)
    }

    @Test func cutReachesAnEndWhoseOtherIsClosedAlready() throws {
        let (network, pairs) = try Self.pairs(1)
        let connection = network.connections[0]
        network.delay(connection, nanoseconds: .max)
        pairs[0].client.close()
        #expect(pairs[0].received()?.isEmpty == true)
        network.cut(connection)
        #expect(pairs[0].received() == nil)
    }
}
