import TestSupport
import Testing

@testable import GRPCTransport

/// Connections that have much to say, beside one that says little.
@Suite struct FairTurnsTests {
    private static let millisecond: UInt64 = 1_000_000

    private func call(_ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        Frames.open(stream, "/t.T/Unary") + Frames.data(stream, Frames.message(payload), end: true)
    }

    /// As many calls as fill several large reads, with the sender's number as their first byte.
    private func manyMessages(_ sender: UInt8) -> [UInt8] {
        let message = Frames.data(1, Frames.message([sender] + [UInt8](repeating: 0, count: 900)))
        return Frames.open(1, "/t.T/Client")
            + [[UInt8]](repeating: message, count: 1_500).flatMap { $0 }
    }

    @Test func aNewClientIsServedInItsFirstTickBesideManyThatFillTheirReads() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        // What each message costs the loop.
        harness.handler.onMessage = { _ in
            harness.clock.advance(nanoseconds: Self.millisecond / 10)
        }
        let greedy = (0 ..< 50).map { number in
            let client = harness.connect()
            client.send(self.manyMessages(UInt8(number)))
            return client
        }
        // All of them have filled a read, and none has sent everything.
        for _ in 0 ..< 2 { harness.step() }
        let fresh = harness.connect()
        let before = harness.handler.messages.count
        fresh.send(self.call(1, [200]))
        harness.step()
        let served = harness.handler.messages[before...].map { $0[0] }
        #expect(served.first == 200)
        // One of the others used the time of the tick up.
        #expect(Set(served.dropFirst()).count == 1 && served.count <= 80)
        #expect(greedy.allSatisfy { !$0.isClosed })
    }

    @Test func thoseThatFillTheirReadsTakeTurns() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        harness.handler.onMessage = { _ in
            harness.clock.advance(nanoseconds: Self.millisecond)
        }
        for number in 0 ..< 10 { harness.connect().send(self.manyMessages(UInt8(number))) }
        for _ in 0 ..< 10 { harness.step() }
        let before = harness.handler.messages.count
        var turns: [UInt8] = []
        for _ in 0 ..< 10 {
            let count = harness.handler.messages.count
            harness.step()
            turns += Set(harness.handler.messages[count...].map { $0[0] })
        }
        #expect(harness.handler.messages.count > before)
        #expect(Set(turns) == Set(0 ..< 10) && turns.count == 10)
    }

    @Test func thoseThatFillTheirReadsTakeAMillisecondOfATick() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        // A large read takes 0.7 ms.
        harness.handler.onMessage = { _ in
            harness.clock.advance(nanoseconds: Self.millisecond / 100)
        }
        for number in 0 ..< 10 { harness.connect().send(self.manyMessages(UInt8(number))) }
        for _ in 0 ..< 3 { harness.step() }
        let count = harness.handler.messages.count
        harness.step()
        #expect(Set(harness.handler.messages[count...].map { $0[0] }).count == 2)
    }

    @Test func aCrowdOfNewConnectionsOfOnePeerComesAfterOthers() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        harness.handler.onMessage = { _ in harness.clock.advance(nanoseconds: Self.millisecond) }
        let crowd = (0 ..< 50).map { _ in harness.connect(from: "127.0.0.9") }
        let fresh = harness.connect()
        // None fills a read, and each costs a millisecond.
        for client in crowd { client.send(self.call(1, [9])) }
        fresh.send(self.call(1, [200]))
        harness.step()
        let served = harness.handler.messages.map { $0[0] }
        #expect(served.contains(200) && served.count < 10)
        for _ in 0 ..< 30 { harness.step() }
        #expect(harness.handler.messages.count == 51)
    }

    @Test func aSmallReadIsFollowedByLargeOnesOnlyWhileTheyAreFilled() {
        var turns = ConnectionTurns()
        turns.reset(slot: 3)
        var heavy: [Bool] = []
        for bytes in [100, ConnectionTurns.lightBytes, 60_000, ConnectionTurns.lightBytes - 1, 5] {
            turns.begin()
            turns.read(slot: 3, bytes: bytes)
            heavy.append(turns.isHeavy(slot: 3))
        }
        #expect(heavy == [false, true, true, false, false] && turns.heavyCount == 0)
        turns.read(slot: 3, bytes: 60_000)
        #expect(turns.heavyCount == 1 && turns.isServed(slot: 3))
        turns.reset(slot: 3)
        #expect(turns.heavyCount == 0 && !turns.isHeavy(slot: 3))
    }
}
