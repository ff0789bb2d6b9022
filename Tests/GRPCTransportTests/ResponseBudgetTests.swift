import Bytes
import TestSupport
import Testing

@testable import GRPCTransport

/// Responses that are not read, through a whole loop: calls that are not begun, streams that are
/// reset, connections that are cut off.
@Suite struct ResponseBudgetTests {
    private static let responseBytes = 900_000

    /// A loop whose handler responds to each unary call at once.
    private func responding(
        bytes: Int = ResponseBudgetTests.responseBytes,
        _ change: (inout TransportLimits) -> Void = { _ in }
    ) throws -> LoopHarness {
        var limits = TransportLimits()
        change(&limits)
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        let response = [UInt8](repeating: 1, count: bytes)
        harness.handler.onMessage = { call in
            guard call.method == LoopHarness.unary else { return }
            harness.loop.respond(to: call.token) { output in
                response.withUnsafeBytes { output.append($0) }
            }
        }
        return harness
    }

    private func unary(_ stream: UInt32) -> [UInt8] {
        Frames.open(stream, "/t.T/Unary") + Frames.data(stream, Frames.message([1]), end: true)
    }

    private func code(_ code: RPCStatusCode, _ harness: LoopHarness) -> UInt64 {
        harness.loop.metrics.snapshot().reduce(0) { $0 + $1.handled[Int(code.rawValue)] }
    }

    @Test func noCallIsBegunForAPeerThatDoesNotRead() throws {
        let harness = try self.responding()
        harness.connect()
        for call in 0 ..< 10 { harness.send(self.unary(UInt32(2 * call + 1))) }
        for _ in 0 ..< 5 { harness.step() }
        #expect(harness.handler.messages.count == 2 && self.code(.ok, harness) == 2)
        #expect(harness.loop.pendingResponseBytes < 2 * Self.responseBytes)
        // Once it reads, every call is served, and none was rejected.
        harness.send(Frames.openWindow(0, by: 1 << 30))
        for call in 0 ..< 10 {
            harness.send(Frames.openWindow(UInt32(2 * call + 1), by: 1 << 30))
        }
        for _ in 0 ..< 500 where self.code(.ok, harness) < 10 { harness.step() }
        #expect(self.code(.ok, harness) == 10 && self.code(.resourceExhausted, harness) == 0)
    }

    @Test func aCallUnderWayReservesHeadroomForItsResponse() throws {
        let harness = try self.responding { $0.outputBytesPerConnectionMax = 1_000 }
        harness.handler.onMessage = { _ in }
        harness.connect()
        for call in 0 ..< 6 { harness.send(self.unary(UInt32(2 * call + 1))) }
        harness.step()
        // Each reserves 256 bytes: the fourth still begins below the limit.
        #expect(harness.handler.messages.count == 4)
        harness.loop.respond(to: harness.handler.tokens[0]) { $0.append(UInt8(1)) }
        harness.step()
        harness.step()
        #expect(harness.handler.messages.count == 5)
        harness.send(Frames.frame(Frames.reset, 0, 3, [0, 0, 0, 8]))
        harness.step()
        #expect(harness.handler.messages.count == 6)
    }

    @Test func aWholeRequestThatIsNotBegunCountsAsUnfinished() throws {
        let harness = try self.responding { $0.outputBytesPerConnectionMax = 1_000 }
        harness.connect()
        let message = [UInt8](repeating: 1, count: 5_000)
        harness.send(
            self.unary(1) + Frames.open(3, "/t.T/Unary")
                + Frames.data(3, Frames.message(message), end: true))
        for _ in 0 ..< 3 { harness.step() }
        #expect(harness.handler.messages.count == 1 && harness.loop.requests.bytes == 5_000)
        harness.send(Frames.frame(Frames.reset, 0, 3, [0, 0, 0, 8]))
        harness.step()
        #expect(harness.loop.requests == RequestBytes())
    }

    @Test func aDeadlineEndsACallThatWasNotBegun() throws {
        let harness = try self.responding(bytes: 2 << 20)
        harness.connect()
        harness.send(
            self.unary(1) + Frames.open(3, "/t.T/Unary", timeout: "3S")
                + Frames.data(3, Frames.message([1]), end: true))
        harness.step()
        harness.pass(seconds: 4)
        #expect(harness.handler.messages.count == 1 && self.code(.deadlineExceeded, harness) == 1)
        #expect(harness.handler.events == ["cancelled"])
    }

    @Test func aConnectionWhoseReaderTakesNothingIsClosed() throws {
        let harness = try self.responding()
        harness.connect()
        harness.send(self.unary(1))
        harness.step()
        harness.pass(seconds: 29)
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 3)
        #expect(harness.client.isClosed && harness.ends == ["not_reading": 1])
        #expect(harness.loop.pendingResponseBytes == 0 && harness.loop.metrics.streams == 0)
    }

    @Test func aStreamWhoseReaderTakesNothingIsResetBesideOthers() throws {
        let harness = try self.responding(bytes: 100_000)
        harness.connect()
        harness.send(self.unary(1) + Frames.openWindow(0, by: 1 << 30))
        for second in 0 ..< 33 {
            // Another stream of the connection is read slowly all the time.
            if second == 20 { harness.send(self.unary(3)) }
            harness.pass(seconds: 1)
            if second >= 20 { harness.send(Frames.openWindow(3, by: 100)) }
        }
        let resets = harness.frames.filter { $0.kind == Frames.reset }
        #expect(resets.map(\.stream) == [1] && resets.map(\.payload) == [[0, 0, 0, 8]])
        #expect(!harness.client.isClosed && harness.loop.metrics.streams == 1)
    }

    @Test func aResponseThatIsReadByTheByteHasATimeToo() throws {
        let harness = try self.responding(bytes: 100_000) {
            $0.responseNanoseconds = 60_000_000_000
        }
        harness.connect()
        harness.send(self.unary(1) + Frames.openWindow(0, by: 1 << 20))
        for _ in 0 ..< 95 where !harness.client.isClosed {
            harness.pass(seconds: 1)
            harness.send(Frames.openWindow(1, by: 1))
        }
        #expect(harness.loop.pendingResponseBytes == 0 && harness.loop.metrics.streams == 0)
    }

    @Test func aPeerThatDoesNotReadIsCutToItsShare() throws {
        let harness = try self.responding(bytes: 1_100_000) { $0.outputBytesMax = 16 << 20 }
        let loop = harness.loop
        let greedy = (0 ..< 14).map { _ in harness.connect() }
        for client in greedy {
            client.send(self.unary(1) + self.unary(3) + self.unary(5))
            harness.step()
        }
        #expect(loop.pendingResponseBytes > loop.limits.outputBytesPerPeerMax)
        // Another connection of the same address is served, then and afterwards.
        let honest = harness.connect()
        honest.send(Frames.openWindow(0, by: 1 << 24))
        for round in 0 ..< 3 {
            let stream = UInt32(2 * round + 1)
            honest.send(self.unary(stream) + Frames.openWindow(stream, by: 1 << 24))
            harness.pass(seconds: 1)
            #expect(
                honest.frames.contains {
                    $0.kind == Frames.headers && $0.stream == stream && $0.flags & 1 == 1
                })
        }
        #expect(loop.pendingResponseBytes <= loop.limits.outputBytesPerPeerMax)
        #expect(!honest.isClosed && self.code(.resourceExhausted, harness) == 0)
        #expect(harness.ends.keys.sorted() == ["output_budget"])
    }

    /// It takes a byte now and then, so that none of its connections makes no progress.
    @Test func thePeerThatHoldsMostIsCutThoughAnotherHasTheLargestConnection() throws {
        let harness = try self.responding(bytes: 500_000) { $0.outputBytesMax = 8 << 20 }
        let other = harness.connect(from: "127.0.0.8")
        other.send(self.unary(1) + self.unary(3))
        harness.step()
        var greedy: [FrameClient] = []
        for _ in 0 ..< 20 {
            greedy.append(harness.connect(from: "127.0.0.9"))
            greedy.last?.send(self.unary(1))
            harness.step()
            for client in greedy where !client.isClosed {
                client.send(Frames.openWindow(0, by: 1) + Frames.openWindow(1, by: 1))
            }
            harness.pass(seconds: 1)
        }
        #expect(harness.loop.pendingResponseBytes <= harness.loop.limits.outputBytesMax)
        #expect(!other.isClosed && Set(harness.ends.keys) == ["output_budget"])
    }

    @Test func aPeerThatHasUsedItsShareUpHasOneCallAtATimeOnEachConnection() throws {
        let harness = try self.responding(bytes: 900_000) { $0.outputBytesMax = 8 << 20 }
        for _ in 0 ..< 6 {
            harness.connect(from: "127.0.0.9").send(self.unary(1) + self.unary(3))
            harness.step()
        }
        // The share is 2 MiB: only the first connection has begun both of its calls.
        #expect(harness.handler.messages.count == 7)
        let other = harness.connect()
        other.send(self.unary(1) + self.unary(3))
        harness.step()
        #expect(harness.handler.messages.count == 9)
        // Those that do not read are cut off until the share is free again.
        harness.pass(seconds: 2)
        #expect(harness.ends["output_budget", default: 0] >= 4 && !other.isClosed)
        #expect(self.code(.resourceExhausted, harness) == 0)
    }

    /// As a batch of writes does that comes back from the log.
    @Test func responsesToManyCallsAtOnceAreRelievedOneByOne() throws {
        let harness = try self.responding { $0.outputBytesMax = 8 << 20 }
        let loop = harness.loop
        harness.handler.onMessage = { _ in }
        for number in 0 ..< 20 {
            harness.connect(from: "127.0.0.\(number)")
                .send(self.unary(1) + self.unary(3) + self.unary(5))
            harness.step()
        }
        let tokens = harness.handler.tokens
        #expect(tokens.count == 60)
        let response = [UInt8](repeating: 1, count: 400_000)
        var largest = 0
        harness.handler.onBeforeSleep = {
            for token in tokens {
                loop.respond(to: token) { output in
                    response.withUnsafeBytes { output.append($0) }
                }
                largest = max(largest, loop.pendingResponseBytes)
                loop.relieveResponses()
            }
            harness.handler.onBeforeSleep = {}
        }
        loop.wake()
        harness.step()
        #expect(largest > loop.limits.outputBytesMax - response.count)
        #expect(largest <= loop.limits.outputBytesMax + response.count + 5)
        #expect(Set(harness.ends.keys) == ["output_budget"])
    }

    @Test func whatTheSocketHasNotTakenCountsForPeerAndLoop() throws {
        let harness = try self.responding(bytes: 60_000)
        let loop = harness.loop
        harness.connect()
        harness.client.stopReading(bufferBytes: 1_000)
        harness.send(self.unary(1) + Frames.openWindow(0, by: 1 << 20))
        harness.step()
        // All of it has left the stream.
        #expect(loop.metrics.streams == 0 && loop.pendingResponseBytes > 50_000)
        #expect(loop.peers.values.first?.pendingResponseBytes == loop.pendingResponseBytes)
        harness.client.isReading = true
        for _ in 0 ..< 200 { harness.step() }
        #expect(harness.dataBytes(of: 1) == 60_005 && loop.pendingResponseBytes == 0)
        harness.client.isReading = false
        harness.send(self.unary(3))
        harness.step()
        #expect(loop.pendingResponseBytes > 50_000)
        harness.client.close()
        harness.step()
        harness.step()
        #expect(loop.metrics.connections == 0 && loop.pendingResponseBytes == 0)
    }

    @Test func whatAHandlerKeepsOfAResponseCountsUntilTheCallEnds() throws {
        let harness = try self.responding { $0.outputBytesPerConnectionMax = 10_000 }
        let loop = harness.loop
        harness.handler.onMessage = { _ in }
        harness.connect()
        for call in 0 ..< 2 { harness.send(self.unary(UInt32(2 * call + 1))) }
        harness.step()
        let tokens = harness.handler.tokens
        loop.keep(responseBytes: 4_000, of: tokens[0])
        #expect(loop.mayKeepMore(of: tokens[0]) && loop.mayKeepMore(of: tokens[1]))
        loop.keep(responseBytes: 12_000, of: tokens[0])
        // Its own bytes hold up others, not itself.
        #expect(loop.mayKeepMore(of: tokens[0]) && !loop.mayKeepMore(of: tokens[1]))
        #expect(loop.pendingResponseBytes == 12_000)
        harness.send(self.unary(5))
        harness.step()
        #expect(harness.handler.messages.count == 2)
        // It is not for the reader to blame.
        harness.pass(seconds: 40)
        #expect(!harness.client.isClosed)
        loop.respond(to: tokens[0]) { $0.append(UInt8(1)) }
        harness.step()
        harness.step()
        #expect(loop.pendingResponseBytes == 0 && harness.handler.messages.count == 3)
    }

    @Test func theLoopNeverHoldsMoreThanItsBudgetBetweenTwoTicks() throws {
        let harness = try self.responding(bytes: 1_100_000) { $0.outputBytesMax = 8 << 20 }
        for number in 0 ..< 20 {
            harness.connect(from: "127.0.0.\(number)").send(self.unary(1))
            harness.step()
            #expect(harness.loop.pendingResponseBytes <= harness.loop.limits.outputBytesMax)
        }
        #expect(harness.loop.metrics.connections > 3)
    }
}
