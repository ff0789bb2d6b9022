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
