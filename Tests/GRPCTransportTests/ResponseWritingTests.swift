import Bytes
import TestSupport
import Testing

@testable import GRPCTransport

/// Responses from the handler's closure to the bytes on the wire.
@Suite struct ResponseWritingTests {
    private func calling(_ path: String = "/t.T/Unary", limits: TransportLimits = TransportLimits())
        throws -> LoopHarness
    {
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        harness.connect()
        self.call(1, path, on: harness)
        return harness
    }

    private func call(_ stream: UInt32, _ path: String = "/t.T/Unary", on harness: LoopHarness) {
        harness.send(
            Frames.open(stream, path) + Frames.data(stream, Frames.message([1]), end: true))
        harness.step()
    }

    private func body(of stream: UInt32, _ harness: LoopHarness) -> [UInt8] {
        harness.frames.filter { $0.kind == Frames.data && $0.stream == stream }.flatMap(\.payload)
    }

    /// `grpc-status` of a stream's trailers, found by its literal: nghttp2 may index the name.
    private func endsWithTrailers(_ stream: UInt32, _ harness: LoopHarness) -> Bool {
        harness.frames.last { $0.stream == stream }.map {
            $0.kind == Frames.headers && $0.flags & 1 == 1
        } == true
    }

    private func numbers(_ count: Int) -> [UInt8] {
        (0 ..< count).map { UInt8(truncatingIfNeeded: $0) }
    }

    @Test(arguments: [0, 1, 500, 5_000, 16_379, 16_384, 70_000])
    func theBytesOfAResponseArriveBehindTheirPrefix(count: Int) throws {
        let harness = try self.calling()
        let message = self.numbers(count)
        harness.send(Frames.openWindow(0, by: 1 << 20) + Frames.openWindow(1, by: 1 << 20))
        harness.step()
        harness.loop.respond(
            to: harness.handler.token!,
            writing: { output in
                // In pieces, as an encoder writes: the storage moves meanwhile.
                for byte in message { output.append(byte) }
            })
        harness.step()
        harness.step()
        #expect(self.body(of: 1, harness) == Frames.message(message))
        #expect(self.endsWithTrailers(1, harness))
        #expect(harness.loop.pendingResponseBytes == 0 && harness.handler.events.isEmpty)
    }

    /// The first block behind a new size of the peer's table begins with that size (RFC 7541,
    /// section 4.2), also if it is that of the trailers.
    @Test func trailersBehindANewTableSizeSayIt() throws {
        let harness = try self.calling("/t.T/Server")
        let token = try #require(harness.handler.token)
        #expect([1].withUnsafeBytes { harness.loop.send($0, to: token) } == .sent)
        harness.step()
        // HEADER_TABLE_SIZE 0.
        harness.send(Frames.frame(4, 0, 0, [0, 1, 0, 0, 0, 0]))
        harness.step()
        // A message between the two has no block, so the size is still to be said.
        #expect([2].withUnsafeBytes { harness.loop.send($0, to: token) } == .sent)
        harness.step()
        #expect([3].withUnsafeBytes { harness.loop.send($0, to: token) } == .sent)
        harness.loop.finish(token, with: RPCStatus(.ok, ""))
        harness.step()
        harness.step()
        let trailers = try #require(harness.frames.last { $0.kind == Frames.headers })
        #expect(self.endsWithTrailers(1, harness) && trailers.payload.first == 0x20)
        // Said once: the next ones are ours again.
        self.call(3, "/t.T/Server", on: harness)
        let next = try #require(harness.handler.token)
        #expect([1].withUnsafeBytes { harness.loop.send($0, to: next) } == .sent)
        harness.loop.finish(next, with: RPCStatus(.ok, ""))
        harness.step()
        harness.step()
        #expect(harness.frames.last { $0.kind == Frames.headers }?.payload.first == 0)
    }

    /// The HEADERS frame behind the last DATA frame is ours, not nghttp2's: nothing but the stream
    /// differs, whatever was compressed before on the connection.
    @Test func theTrailersOfOKAreALiteralThatEntersNoTable() throws {
        let harness = try self.calling()
        for stream in [1, 5, 9] as [UInt32] {
            if stream > 1 { self.call(stream, on: harness) }
            harness.loop.respond(to: harness.handler.token!) { $0.append(UInt8(7)) }
            // Between two of them nghttp2 compresses trailers of its own.
            self.call(stream + 2, on: harness)
            harness.loop.finish(harness.handler.token!, with: RPCStatus(.notFound, "gone"))
            harness.step()
            let frames = harness.frames.filter { $0.stream == stream }
            #expect(frames.map(\.kind) == [Frames.headers, Frames.data, Frames.headers])
            #expect(frames.map(\.flags) == [4, 0, 5])
            #expect(frames.last?.payload == [0, 11] + Array("grpc-status".utf8) + [1, 0x30])
        }
    }

    /// The object of a stream that is reset serves the next stream at once, which has a response of
    /// its own.
    @Test func aResponseWhoseStreamIsResetBeforeItLeavesIsDropped() throws {
        let harness = try self.calling()
        harness.handler.onMessage = { call in
            harness.loop.respond(to: call.token) { $0.append(UInt8(3)) }
        }
        harness.loop.respond(to: harness.handler.tokens[0]) { $0.append(UInt8(1)) }
        harness.send(
            Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8])
                + Frames.open(3, "/t.T/Unary") + Frames.data(3, Frames.message([3]), end: true))
        harness.step()
        harness.step()
        #expect(harness.handler.tokens[1].slot == harness.handler.tokens[0].slot)
        let frames = harness.frames.filter { $0.stream > 0 }
        #expect(frames.map(\.stream) == [3, 3, 3])
        #expect(frames.map(\.kind) == [Frames.headers, Frames.data, Frames.headers])
        #expect(self.body(of: 3, harness) == Frames.message([3]))
        #expect(harness.loop.pendingResponseBytes == 0 && harness.loop.connectionCount == 1)
    }

    @Test func aWindowThatOpensInPiecesCutsTheResponseAnywhere() throws {
        let harness = try self.calling()
        let message = self.numbers(100_000)
        harness.loop.respond(to: harness.handler.token!) { output in
            message.withUnsafeBytes { output.append($0) }
        }
        harness.step()
        for piece in [1, 2, 4_999, 20_000, 60_000] as [UInt32] {
            harness.send(Frames.openWindow(0, by: piece) + Frames.openWindow(1, by: piece))
            harness.step()
        }
        #expect(self.body(of: 1, harness) == Frames.message(message))
        #expect(self.endsWithTrailers(1, harness))
    }

    @Test func aTickWritesItsShareAndTheRestFollows() throws {
        // A window far beyond a tick's share: all of it leaves, in writes of one share each.
        var limits = TransportLimits()
        limits.sendBytes = 20_000
        let harness = try self.calling(limits: limits)
        let message = self.numbers(300_000)
        harness.send(Frames.openWindow(0, by: 1 << 20) + Frames.openWindow(1, by: 1 << 20))
        harness.step()
        harness.loop.respond(to: harness.handler.token!) { output in
            message.withUnsafeBytes { output.append($0) }
        }
        harness.client.resetLargestWrite()
        harness.step()
        #expect(self.body(of: 1, harness) == Frames.message(message))
        #expect(harness.client.largestWriteBytes < limits.sendBytes + 2 * 16_393)
    }

    @Test func aRejectionDropsWhatWasWritten() throws {
        let harness = try self.calling()
        harness.loop.respondOrReject(to: harness.handler.token!) { output in
            output.append(UInt64(7))
            return RPCStatus(.notFound, "no such profile")
        }
        harness.step()
        #expect(self.body(of: 1, harness).isEmpty && self.endsWithTrailers(1, harness))
        #expect(harness.loop.pendingResponseBytes == 0)
        let unary = harness.loop.metrics.snapshot()[LoopHarness.unary]
        #expect(unary.handled[Int(RPCStatusCode.notFound.rawValue)] == 1)
        #expect(unary.handled.reduce(0, +) == 1)
    }

    /// Both calls were begun when there was headroom: what they say is true already, so it is sent.
    @Test func aResponseBeyondTheConnectionsLimitIsQueuedAllTheSame() throws {
        var limits = TransportLimits()
        limits.outputBytesPerConnectionMax = 100_000
        let harness = try self.calling(limits: limits)
        self.call(3, on: harness)
        let message = self.numbers(90_000)
        for token in harness.handler.tokens {
            harness.loop.respond(to: token) { output in
                message.withUnsafeBytes { output.append($0) }
            }
        }
        let handled = harness.loop.metrics.snapshot()[LoopHarness.unary].handled
        #expect(handled[Int(RPCStatusCode.ok.rawValue)] == 2 && handled.reduce(0, +) == 2)
        #expect(harness.loop.pendingResponseBytes == 180_010)
    }

    @Test func aRequestThatIsResetInTheReadThatCompletesItIsNotBegun() throws {
        let harness = try self.calling()
        harness.send(
            Frames.open(3, "/t.T/Unary") + Frames.data(3, Frames.message([3]), end: true)
                + Frames.frame(Frames.reset, 0, 3, [0, 0, 0, 8])
                + Frames.open(5, "/t.T/Unary") + Frames.data(5, Frames.message([5]), end: true))
        harness.step()
        #expect(harness.handler.messages == [[1], [5]] && harness.handler.events == ["cancelled"])
    }

    @Test func aCallThatHasEndedIsNotEncoded() throws {
        let harness = try self.calling()
        let token = harness.handler.token!
        harness.send(Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8]))
        harness.step()
        var isCalled = false
        harness.loop.respond(to: token) { _ in isCalled = true }
        #expect(harness.loop.send(to: token) { _ in isCalled = true } == .gone)
        #expect(!isCalled && harness.loop.metrics.lateResponses == 2)
    }

    @Test func aTokenDiesWithItsCallThoughTheStreamIsUsedAgain() throws {
        let harness = try self.calling()
        let old = harness.handler.token!
        harness.loop.respond(to: old) { $0.append(UInt8(1)) }
        harness.step()
        self.call(3, on: harness)
        let new = harness.handler.token!
        #expect(new.slot == old.slot && new != old)
        #expect(!harness.loop.isOpen(old) && harness.loop.isOpen(new))
        harness.loop.respond(to: old) { $0.append(UInt8(2)) }
        harness.loop.respond(to: new) { $0.append(UInt8(3)) }
        harness.step()
        #expect(self.body(of: 1, harness).last == 1 && self.body(of: 3, harness).last == 3)
        #expect(harness.loop.metrics.lateResponses == 1)
    }

    @Test func openCallsHaveSlotsOfTheirOwnFromZeroOn() throws {
        let harness = try self.calling()
        for stream in [3, 5, 7] as [UInt32] { self.call(stream, on: harness) }
        #expect(Set(harness.handler.tokens.map(\.slot)) == [0, 1, 2, 3])
    }

    @Test func aStreamMayExceedItsLimitByTheMessageThatIsBegun() throws {
        let harness = try self.calling("/t.T/Server")
        let token = harness.handler.token!
        let message = self.numbers(50_000)
        var outcomes: [SendOutcome] = []
        var encoded = 0
        for _ in 0 ..< 4 {
            outcomes.append(
                harness.loop.send(to: token) { output in
                    encoded += 1
                    message.withUnsafeBytes { output.append($0) }
                })
        }
        #expect(outcomes == [.sent, .sent, .full, .full] && encoded == 2)
        harness.send(Frames.openWindow(0, by: 1 << 20) + Frames.openWindow(1, by: 1 << 20))
        harness.step()
        harness.step()
        #expect(harness.handler.events == ["writable"])
        #expect(harness.dataBytes(of: 1) == 2 * 50_005)
    }
}
