import TestSupport
import Testing

@testable import GRPCTransport

/// Calls that are rejected later, and what the handler learns of the end of calls and connections.
@Suite struct DelayedRejectionTests {
    private static let unary = "/t.T/Unary"

    /// A loop whose handler rejects every call later.
    private func rejecting(limits: TransportLimits = TransportLimits()) throws -> LoopHarness {
        let harness = try LoopHarness(limits: limits)
        harness.handler.onAdmit = { _ in .rejectedLater(RPCStatus(.unauthenticated, "no")) }
        try harness.loop.start()
        harness.connect()
        return harness
    }

    /// Streams that got headers, which are the status here.
    private func ended(_ client: FrameClient) -> [UInt32] {
        client.frames.filter { $0.kind == Frames.headers }.map(\.stream)
    }

    @Test func rejectionComesAfterItsDelayAndTheBodyIsNotKept() throws {
        let harness = try self.rejecting()
        harness.send(
            Frames.open(1, Self.unary) + Frames.data(1, Frames.message([1, 2, 3]), end: true))
        harness.step()
        harness.clock.advance(nanoseconds: 990_000_000)
        harness.step()
        #expect(self.ended(harness.client).isEmpty)
        harness.clock.advance(nanoseconds: 10_000_000)
        harness.step()
        #expect(self.ended(harness.client) == [1])
        #expect(harness.handler.messages.isEmpty && harness.handler.events.isEmpty)
    }

    @Test func waitsForNobodyElse() throws {
        let harness = try self.rejecting()
        harness.send(Frames.open(1, Self.unary))
        harness.step()
        harness.handler.onAdmit = { _ in .rejected(RPCStatus(.unauthenticated, "no")) }
        harness.send(Frames.open(3, Self.unary))
        harness.step()
        #expect(self.ended(harness.client) == [3])
    }

    @Test func oneMoreThanMayWaitClosesItsConnection() throws {
        var limits = TransportLimits()
        limits.delayedRejectionsMax = 3
        let harness = try self.rejecting(limits: limits)
        let other = harness.connect()
        for stream in [1, 3, 5] as [UInt32] { other.send(Frames.open(stream, Self.unary)) }
        harness.step()
        #expect(!other.isClosed)
        harness.send(Frames.open(1, Self.unary))
        harness.step()
        harness.step()
        #expect(harness.client.isClosed && !other.isClosed)
        let goaway = harness.frames.first { $0.kind == Frames.goaway }
        #expect(
            goaway.map { String(decoding: $0.payload[8...], as: UTF8.self) }
                == "too_many_failed_logins")
        harness.pass(seconds: 1)
        #expect(self.ended(other) == [1, 3, 5])
        // There is headroom again.
        other.send(Frames.open(7, Self.unary))
        harness.step()
        #expect(!other.isClosed)
    }

    /// As behind a proxy that brings the calls of many clients on one connection.
    @Test func oneMoreThanMayWaitIsResetWhereOthersHaveCalls() throws {
        var limits = TransportLimits()
        limits.delayedRejectionsMax = 1
        let harness = try self.rejecting(limits: limits)
        harness.handler.onAdmit = { _ in .accepted }
        harness.send(Frames.open(1, Self.unary))
        harness.step()
        harness.handler.onAdmit = { _ in .rejectedLater(RPCStatus(.unauthenticated, "no")) }
        for stream in stride(from: 3, through: 801, by: 2) as StrideThrough<UInt32> {
            harness.send(Frames.open(stream, Self.unary))
            harness.step()
        }
        harness.step()
        #expect(!harness.client.isClosed)
        let resets = harness.frames.filter { $0.kind == Frames.reset }
        #expect(resets.count == 399)
        #expect(resets.allSatisfy { $0.payload == [0, 0, 0, 11] }, "ENHANCE_YOUR_CALM")
        // The call of somebody else is still served.
        harness.handler.onMessage = { call in
            [1].withUnsafeBytes { harness.loop.respond(to: call.token, message: $0) }
        }
        harness.send(Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        harness.step()
        #expect(self.ended(harness.client).contains(1))
    }

    @Test func aResetLeavesNoHeadroomForTheNext() throws {
        var limits = TransportLimits()
        limits.delayedRejectionsMax = 1
        let harness = try self.rejecting(limits: limits)
        harness.send(
            Frames.open(1, Self.unary) + Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8]))
        harness.step()
        harness.send(Frames.open(3, Self.unary))
        harness.step()
        harness.step()
        #expect(harness.client.isClosed)
        harness.pass(seconds: 2)
        #expect(harness.loop.delayedRejections.isEmpty)
    }

    // MARK: Ends

    @Test func countedCallsReportTheirEndOnceWhoeverEndsThem() throws {
        let harness = try LoopHarness()
        harness.handler.onAdmit = { _ in .counted }
        try harness.loop.start()
        harness.connect()
        // Responded to.
        harness.handler.onMessage = { call in
            [1].withUnsafeBytes { harness.loop.respond(to: call.token, message: $0) }
        }
        harness.send(Frames.open(1, Self.unary) + Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        harness.step()
        #expect(harness.handler.endedTokens == [harness.handler.tokens[0]])
        // Reset by the client.
        harness.send(
            Frames.open(3, Self.unary) + Frames.frame(Frames.reset, 0, 3, [0, 0, 0, 8]))
        harness.step()
        #expect(harness.handler.endedTokens == Array(harness.handler.tokens[0 ... 1]))
        // Lost with its connection.
        harness.send(Frames.open(5, Self.unary))
        harness.step()
        harness.clientsClose()
        harness.step()
        harness.step()
        #expect(harness.handler.endedTokens == harness.handler.tokens)
        #expect(harness.handler.endedCodes == [.ok, .cancelled, .cancelled])
        #expect(harness.handler.closedSlots == [0])
    }

    @Test func callsThatAreNotCountedReportNothing() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        harness.connect()
        harness.send(
            Frames.open(1, Self.unary) + Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8]))
        harness.step()
        #expect(harness.handler.tokens.count == 1 && harness.handler.endedTokens.isEmpty)
    }
}
