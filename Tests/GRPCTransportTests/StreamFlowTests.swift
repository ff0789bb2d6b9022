import Bytes
import TestSupport
import Testing

@testable import GRPCTransport

/// Streams through a whole loop: windows, pauses, headroom, ends.
@Suite struct StreamFlowTests {
    private static let both = "/t.T/Both"

    private func numbered(_ count: Int, bytes: Int = 1) -> [UInt8] {
        (0 ..< count).flatMap {
            Frames.message([UInt8($0)] + [UInt8](repeating: 0xAA, count: bytes - 1))
        }
    }

    @Test func messagesOfOneFrameAreDeliveredInOrderAndThenTheEnd() throws {
        let harness = try LoopHarness()
        try harness.run([
            { $0.send(Frames.open(1, Self.both) + Frames.data(1, self.numbered(5), end: true)) }
        ])
        #expect(harness.handler.messages.map { $0[0] } == [0, 1, 2, 3, 4])
        #expect(harness.handler.events == ["ended", "cancelled"])
    }

    @Test func aPausedStreamGetsNothingMoreUntilItIsResumed() throws {
        let harness = try LoopHarness()
        harness.handler.onMessage = { harness.loop.pauseRequests(of: $0.token) }
        var seen: [Int] = []
        let resume: (LoopHarness) -> Void = {
            seen.append($0.handler.messages.count)
            $0.loop.resumeRequests(of: $0.handler.token!)
        }
        let look: (LoopHarness) -> Void = { seen.append($0.handler.messages.count) }
        try harness.run([
            { $0.send(Frames.open(1, Self.both) + Frames.data(1, self.numbered(4), end: true)) },
            look, look, resume, resume, resume, resume, look,
        ])
        #expect(seen == [1, 1, 1, 2, 3, 4, 4])
        #expect(harness.handler.messages.map { $0[0] } == [0, 1, 2, 3])
        #expect(harness.handler.events == ["ended", "cancelled"])
    }

    @Test func windowsOpenOnlyByWhatTheHandlerTakes() throws {
        // A whole window of 10-KiB messages: while the stream is paused neither window moves, then
        // both do.
        let harness = try LoopHarness()
        let count = harness.loop.limits.streamWindowBytes / 10_245
        var before: [Int] = []
        harness.handler.onMessage = { call in
            if harness.handler.messages.count == 1 { harness.loop.pauseRequests(of: call.token) }
        }
        let idle: (LoopHarness) -> Void = { _ in }
        try harness.run([
            {
                $0.send(
                    Frames.open(1, Self.both) + Frames.data(1, self.numbered(count, bytes: 10_240)))
            },
            idle, idle, idle, idle,
            {
                before = [$0.handler.messages.count, $0.windowUpdates(of: 1)]
                $0.loop.resumeRequests(of: $0.handler.token!)
            },
        ])
        #expect(before == [1, 0])
        #expect(harness.handler.messages.map { $0[0] } == (0 ..< count).map { UInt8($0) })
        #expect(harness.windowUpdates(of: 1) >= harness.loop.limits.streamWindowBytes / 2)
    }

    @Test func aResetGivesTheHeldBytesBackToTheConnection() throws {
        // Streams are paused and reset again and again: the connection's window must not leak away.
        var limits = TransportLimits()
        limits.connectionWindowBytes = 512 << 10
        let harness = try LoopHarness(limits: limits)
        harness.handler.onMessage = { harness.loop.pauseRequests(of: $0.token) }
        let held = self.numbered(6, bytes: 10_240)
        let rounds = 40
        let steps = (0 ..< rounds).flatMap { round -> [(LoopHarness) -> Void] in
            let stream = UInt32(2 * round + 1)
            return [
                { $0.send(Frames.open(stream, Self.both) + Frames.data(stream, held)) }, { _ in },
                { _ in }, { _ in },
                { $0.send(Frames.frame(Frames.reset, 0, stream, [0, 0, 0, 8])) },
            ]
        }
        try harness.run(steps)
        #expect(harness.handler.messages.count == rounds)
        #expect(harness.handler.events == Array(repeating: "cancelled", count: rounds))
        let opened = harness.windowUpdates(of: 0) - harness.loop.limits.connectionWindowBytes
        #expect(
            opened + harness.loop.limits.connectionWindowBytes / 2 > rounds * held.count
                - harness.loop.limits.connectionWindowBytes)
    }

    /// The window of a stream stays as it is behind its last frame.
    @Test func unaryRequestsGiveTheirBytesBackToTheConnectionAlone() throws {
        var limits = TransportLimits()
        limits.connectionWindowBytes = 128 << 10
        let harness = try LoopHarness(limits: limits)
        // The last frame takes it beyond half of a stream's window, where nghttp2 would open it.
        let body = Frames.message([UInt8](repeating: 1, count: 40_000))
        let streams = (0 ..< 40).map { UInt32(2 * $0 + 1) }
        try harness.run(
            streams.map { stream in
                {
                    $0.send(
                        Frames.open(stream, "/t.T/Unary") + Frames.data(stream, body, end: true))
                }
            })
        #expect(harness.handler.messages.count == streams.count)
        let unopened = streams.count * body.count - harness.windowUpdates(of: 0)
        #expect(unopened < limits.connectionWindowBytes)
        #expect(streams.allSatisfy { harness.windowUpdates(of: $0) == 0 })
    }

    @Test func aReaderThatReadsNothingBoundsItsStreamAndLearnsWhenItIsWritable() throws {
        // Responses of 1 KiB without end: the stream takes one window's worth and one buffer, then
        // says `.full`.
        let harness = try LoopHarness()
        var sent = 0
        let total = 1_000
        let response = [UInt8](repeating: 1, count: 1_024)
        let pump: (CallToken) -> Void = { token in
            while sent < total,
                response.withUnsafeBytes({ harness.loop.send($0, to: token) }) == .sent
            { sent += 1 }
            if sent == total { harness.loop.finish(token, with: RPCStatus(.ok, "")) }
        }
        harness.handler.onMessage = { pump($0.token) }
        harness.handler.onWritable = pump
        var held = 0
        let idle: (LoopHarness) -> Void = { _ in }
        try harness.run(
            [
                {
                    $0.send(
                        Frames.open(1, "/t.T/Server")
                            + Frames.data(1, Frames.message([7]), end: true))
                }, idle, idle, idle,
            ]
                + [
                    {
                        held = sent
                        $0.send(
                            Frames.openWindow(0, by: 1 << 24) + Frames.openWindow(1, by: 1 << 24))
                    }
                ]
                + Array(repeating: idle, count: 60))
        let limit = harness.loop.limits.outputBytesPerStreamMax + 65_535
        #expect(held * 1_029 <= limit && held * 1_029 > limit - 40_000)
        #expect(sent == total && harness.dataBytes(of: 1) == total * 1_029)
        #expect(
            harness.handler.events.contains("writable")
                && !harness.handler.events.contains("cancelled")
        )
        #expect(harness.loop.pendingResponseBytes == 0)
    }

    @Test func aClientStreamHasOneResponseAfterItsEnd() throws {
        let harness = try LoopHarness()
        try harness.run([
            {
                $0.send(Frames.open(1, "/t.T/Client") + Frames.data(1, self.numbered(3), end: true))
            }, { _ in },
            { harness in
                [UInt8(9)].withUnsafeBytes {
                    harness.loop.respond(to: harness.handler.token!, message: $0)
                }
            },
        ])
        #expect(harness.handler.messages.count == 3 && harness.handler.events == ["ended"])
        #expect(harness.dataBytes(of: 1) == 6)
        #expect(
            harness.frames.last { $0.stream == 1 }.map {
                $0.kind == Frames.headers && $0.flags & 1 == 1
            } == true)
    }

    @Test func aStreamMayRestBetweenMessagesButNotInsideOfOne() throws {
        let harness = try LoopHarness()
        let minute: (LoopHarness) -> Void = { $0.clock.advance(nanoseconds: 70_000_000_000) }
        var open: [Bool] = []
        let look: (LoopHarness) -> Void = { open.append($0.loop.isOpen($0.handler.token!)) }
        try harness.run([
            { $0.send(Frames.open(1, Self.both)) }, minute, minute, look,
            { $0.send(Frames.data(1, self.numbered(1))) }, minute, look,
            { $0.send(Frames.data(1, [0, 0])) }, minute, look,
        ])
        #expect(open == [true, true, false])
        #expect(harness.handler.events == ["cancelled"])
    }

    @Test func aDeadlineOverUnreadResponsesResetsTheStream() throws {
        // The client grants no more window, so trailers would wait for ever (G16).
        let harness = try LoopHarness()
        let response = [UInt8](repeating: 1, count: 50_000)
        harness.handler.onMessage = { call in
            let outcome = response.withUnsafeBytes { harness.loop.send($0, to: call.token) }
            #expect(outcome == .sent)
        }
        try harness.run([
            {
                $0.send(Frames.open(1, Self.both, timeout: "1S") + Frames.data(1, self.numbered(1)))
            },
            { $0.send(Frames.data(1, self.numbered(1))) },
            { $0.clock.advance(nanoseconds: 2_000_000_000) },
        ])
        let resets = harness.frames.filter { $0.kind == Frames.reset && $0.stream == 1 }
        #expect(resets.map(\.payload) == [[0, 0, 0, 8]])
        #expect(harness.handler.events == ["cancelled"] && harness.loop.pendingResponseBytes == 0)
    }

    @Test func aMalformedMessageTellsTheHandlerOfTheStream() throws {
        let harness = try LoopHarness()
        try harness.run([
            { $0.send(Frames.open(1, Self.both) + Frames.data(1, self.numbered(1) + [2, 0, 0])) }
        ])
        #expect(harness.handler.messages.count == 1 && harness.handler.events == ["cancelled"])
    }

    @Test func aDrainIsToldToStreamsAndNotToUnaryCalls() throws {
        let harness = try LoopHarness()
        let idle: (LoopHarness) -> Void = { _ in }
        try harness.run([
            {
                $0.send(
                    Frames.open(1, Self.both) + Frames.open(3, "/t.T/Server")
                        + Frames.data(3, Frames.message([1]), end: true))
            },
            {
                $0.send(
                    Frames.open(5, "/t.T/Unary") + Frames.data(5, Frames.message([1]), end: true))
            },
            { $0.loop.beginDrain(graceNanoseconds: 60_000_000_000) }, idle,
            { $0.clock.advance(nanoseconds: 2_000_000_000) }, idle,
        ])
        #expect(harness.handler.events.filter { $0 == "drain" }.count == 2)
    }
}
