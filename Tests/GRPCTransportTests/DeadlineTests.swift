import TestSupport
import Testing

@testable import GRPCTransport

/// Nothing that is past its deadline reaches the handler, also where the body came together with
/// the headers.
@Suite struct DeadlineTests {
    private static let unary = "/t.T/Unary"
    private static let both = "/t.T/Both"

    private func call(_ stream: UInt32, _ timeout: String, _ path: String = unary) -> [UInt8] {
        Frames.open(stream, path, timeout: timeout)
            + Frames.data(stream, Frames.message([7]), end: true)
    }

    /// Calls that ended with DEADLINE_EXCEEDED.
    private func late(_ harness: LoopHarness) -> UInt64 {
        harness.loop.metrics.snapshot().reduce(0) {
            $0 + $1.handled[Int(RPCStatusCode.deadlineExceeded.rawValue)]
        }
    }

    @Test(arguments: ["0n", "0u", "0m", "0S", "0M", "0H", "00000000S"], [unary, both])
    func aTimeoutOfZeroAlwaysFails(timeout: String, path: String) throws {
        let harness = try LoopHarness()
        try harness.run([{ $0.send(self.call(1, timeout, path)) }, { _ in }])
        #expect(harness.handler.messages.isEmpty && harness.handler.tokens.isEmpty)
        #expect(self.late(harness) == 1)
    }

    @Test(arguments: ["1n", "1u", "1m"])
    func aDeadlineThatPassesWithinATickCounts(timeout: String) throws {
        // The first call of the segment takes two milliseconds: the time of the tick is too old for
        // the second.
        let harness = try LoopHarness()
        harness.handler.onMessage = { call in
            harness.clock.advance(nanoseconds: 2_000_000)
            [UInt8(9)].withUnsafeBytes { harness.loop.respond(to: call.token, message: $0) }
        }
        try harness.run([
            { $0.send(self.call(1, "1S") + self.call(3, timeout) + self.call(5, "9m")) }, { _ in },
        ])
        #expect(harness.handler.messages.count == 2 && self.late(harness) == 1)
    }

    @Test func aDeadlineThatPassesBetweenHeadersAndBodyCounts() throws {
        // The timer is a slot of the wheel later.
        let harness = try LoopHarness()
        try harness.run([
            { $0.send(Frames.open(1, Self.unary, timeout: "100m")) },
            { harness in
                harness.clock.advance(nanoseconds: 100_000_000)
                harness.send(Frames.data(1, Frames.message([7]), end: true))
            }, { _ in },
        ])
        #expect(harness.handler.messages.isEmpty && self.late(harness) == 1)
        #expect(harness.handler.events == ["cancelled"])
    }

    @Test func eachMessageOfAStreamIsComparedWithItsDeadline() throws {
        let harness = try LoopHarness()
        let message = Frames.message([7])
        try harness.run([
            { $0.send(Frames.open(1, Self.both, timeout: "100m") + Frames.data(1, message)) },
            { harness in
                harness.clock.advance(nanoseconds: 99_999_999)
                harness.send(Frames.data(1, message))
            },
            { harness in
                harness.clock.advance(nanoseconds: 1)
                harness.send(Frames.data(1, message + message))
            }, { _ in },
        ])
        #expect(harness.handler.messages.count == 2 && self.late(harness) == 1)
        #expect(harness.handler.events == ["cancelled"])
    }

    @Test func aCallThatWaitsForTheLogEndsAtItsDeadline() throws {
        let harness = try LoopHarness()
        var waits: [Bool] = []
        try harness.run([
            { $0.send(self.call(1, "100m")) },
            { harness in
                waits.append(harness.loop.isWaiting(harness.handler.token!))
                harness.handler.onBeforeSleep = {
                    waits.append(harness.loop.isWaiting(harness.handler.token!))
                }
                harness.clock.advance(nanoseconds: 100_000_000)
            }, { _ in },
        ])
        #expect(waits.first == true && Set(waits.dropFirst()) == [false])
        #expect(self.late(harness) == 1 && harness.handler.events == ["cancelled"])
    }

    @Test func aMessageOverTheLimitEndsWithTheHandlersStatus() throws {
        var limits = TransportLimits()
        limits.messageBytesMax = 10
        let harness = try LoopHarness(limits: limits)
        try harness.run([
            {
                $0.send(
                    Frames.open(1, Self.unary)
                        + Frames.data(1, Frames.message(Array(repeating: 0, count: 11))))
            }
        ])
        #expect(harness.handler.events == ["too large: 11 of 10", "cancelled"])
    }
}
