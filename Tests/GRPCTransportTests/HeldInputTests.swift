import IOCore
import TestSupport
import Testing

@testable import GRPCTransport

/// S1, C11: sockets that hold input back, and that can write only after they have read.
@Suite struct HeldInputTests {
    private func harness(_ limits: TransportLimits = TransportLimits()) throws -> LoopHarness {
        let harness = try LoopHarness(limits: limits, wrap: { HoldingListener($0) })
        try harness.loop.start()
        return harness
    }

    /// More than a light read takes, all at once, and nothing after it: the poller reports the
    /// connection no more.
    @Test func inputThatTheSocketHoldsIsReadWithoutThePoller() throws {
        let harness = try self.harness()
        let client = harness.connectSilently()
        let message = Frames.data(1, Frames.message([UInt8](repeating: 7, count: 1_000)))
        let messages = [[UInt8]](repeating: message, count: 40).flatMap { $0 }
        client.send([0] + Frames.preface + Frames.open(1, "/t.T/Client") + messages)
        harness.step()
        #expect(harness.handler.messages.count < 40)
        #expect(harness.next == .now)
        for _ in 0 ..< 5 { harness.step() }
        #expect(harness.handler.messages.count == 40)
        #expect(harness.next != .now)
    }

    /// Each turn takes longer than a tick has for them, so that all but one are passed over.
    @Test func connectionsThatArePassedOverAreListedOnce() throws {
        let harness = try self.harness()
        harness.handler.onMessage = { _ in harness.clock.advance(nanoseconds: 5_000_000) }
        let clients = (0 ..< 4).map { _ in harness.connectSilently() }
        for client in clients { client.send([0] + Frames.preface) }
        let perStream = 30
        var most = 0
        var first: [UInt64] = []
        for step in 0 ..< 400 where harness.handler.messages.count < 4 * 20 * perStream {
            if step < 20 {
                // The poller reports them, too, while they still hold what came before.
                let stream = UInt32(2 * step + 1)
                let message = Frames.data(
                    stream, Frames.message([UInt8](repeating: 7, count: 1_000)))
                let messages = [[UInt8]](repeating: message, count: perStream).flatMap { $0 }
                for client in clients { client.send(Frames.open(stream, "/t.T/Client") + messages) }
            }
            harness.step()
            most = max(most, harness.loop.bufferedInput.count)
            // Whoever was passed over comes before whoever had a turn.
            if harness.loop.bufferedInput.count > 1 {
                first.append(harness.loop.bufferedInput[0])
            }
            #expect(Set(harness.loop.bufferedInput).count == harness.loop.bufferedInput.count)
        }
        #expect(most == clients.count && first.count > 10)
        #expect(zip(first, first.dropFirst()).allSatisfy { $0 != $1 })
        #expect(harness.handler.messages.count == 4 * 20 * perStream)
    }

    @Test func outputWaitsForTheHandshakeAndLeavesBehindIt() throws {
        let harness = try self.harness()
        let client = harness.connectSilently()
        // The first frames wait, and nothing spins for them.
        #expect(client.frames.isEmpty && harness.next != .now)
        client.send([0])
        for _ in 0 ..< 2 { harness.step() }
        #expect(client.frames.first?.kind == 4)
        client.send(Frames.preface + Frames.open(1, "/t.T/Unary"))
        client.send(Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        #expect(harness.handler.messages.count == 1)
    }

    @Test func C11_aHandshakeThatDoesNotEndIsCutOffWithThePreface() throws {
        let harness = try self.harness()
        let client = harness.connectSilently()
        harness.pass(seconds: 9)
        #expect(!client.isClosed)
        harness.pass(seconds: 2)
        #expect(client.isClosed && client.frames.isEmpty)
    }

    @Test func handshakesYieldToNewConnections() throws {
        var limits = TransportLimits()
        limits.connectionsMax = 2
        let harness = try self.harness(limits)
        let first = harness.connectSilently()
        harness.pass(seconds: 2)
        harness.connectSilently()
        let third = harness.connectSilently()
        harness.step()
        #expect(first.isClosed && !third.isClosed)
    }
}
