import TestSupport
import Testing

@testable import GRPCTransport

/// Whole connections that send what brings no progress (A4-A9), or what their streams forbid.
@Suite struct FrameFloodTests {
    private static let unary = "/t.T/Unary"
    private static let calm = "11 too_many_frames_without_progress"

    private func started(limits: TransportLimits = TransportLimits()) throws -> LoopHarness {
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        harness.connect()
        return harness
    }

    private func lastStreams(_ harness: LoopHarness) -> [UInt32] {
        harness.frames.filter { $0.kind == Frames.goaway }.map { Frames.number($0.payload) }
    }

    private func call(_ stream: UInt32, _ payload: [UInt8] = [1]) -> [UInt8] {
        Frames.open(stream, Self.unary) + Frames.data(stream, Frames.message(payload), end: true)
    }

    private func headers(_ stream: UInt32, _ extra: [(String, String)]) -> [UInt8] {
        let good = Frames.open(stream, Self.unary)
        var block = Array(good[9...])
        for (name, value) in extra {
            block +=
                [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)]
                + Array(value.utf8)
        }
        return Frames.frame(Frames.headers, 4, stream, block)
    }

    enum Flood: String, CaseIterable {
        case unknown, pingAcknowledgements, priority, padding, emptyWindows, goaway, settings
        case ignoredData, priorityUpdate, resetsOfClosedStreams

        /// One frame of the flood; streams 1 (reset by the server) and 3 (open) exist.
        var frame: [UInt8] {
            switch self {
            case .unknown: Frames.frame(0xFA, 0, 0, [])
            case .pingAcknowledgements:
                Frames.frame(Frames.ping, 1, 0, [UInt8](repeating: 0, count: 8))
            case .priority: Frames.frame(2, 0, 2_001, [0, 0, 0, 0, 16])
            case .padding: Frames.frame(Frames.data, 8, 3, [4, 0, 0, 0, 0])
            case .emptyWindows: Frames.openWindow(1, by: 1)
            case .goaway: Frames.frame(Frames.goaway, 0, 0, [UInt8](repeating: 0, count: 8))
            case .settings: Frames.frame(4, 0, 0, [0, 4, 0, 1, 0, 0])
            case .ignoredData: Frames.frame(Frames.data, 0, 1, [7])
            case .priorityUpdate: Frames.frame(16, 0, 0, [0, 0, 0, 3] + Array("u=1".utf8))
            case .resetsOfClosedStreams: Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8])
            }
        }
    }

    @Test(arguments: Flood.allCases)
    func aFloodWithoutProgressIsCutOff(flood: Flood) throws {
        let harness = try self.started()
        // 415, and reset as its request has not ended.
        harness.send(
            Frames.frame(
                Frames.headers, 4, 1,
                [0x83, 0x86, 0x84, 0, 12] + Array("content-type".utf8) + [1, 97]))
        harness.send(Frames.open(3, "/t.T/Both"))
        harness.step()
        let limits = TransportLimits()
        let block = [[UInt8]](repeating: flood.frame, count: 100).flatMap { $0 }
        var sent = 0
        while !harness.client.isClosed, sent < 2 * limits.frameBurst {
            harness.send(block)
            harness.step()
            sent += 100
        }
        #expect(harness.client.isClosed && sent <= limits.frameBurst + 200)
        if flood == .resetsOfClosedStreams {
            #expect(harness.client.goaways == ["11 too_many_resets"])
        } else {
            #expect(harness.client.goaways == [Self.calm])
        }
    }

    @Test func aWindowOpenedByteByByteIsCutOff() throws {
        let harness = try self.started()
        // No window: responses wait for it.
        harness.send(Frames.frame(4, 0, 0, [0, 4, 0, 0, 0, 0]))
        harness.send(self.call(1))
        harness.step()
        let response = [UInt8](repeating: 5, count: 20_000)
        harness.loop.respond(to: harness.handler.token!) { buffer in
            response.withUnsafeBytes { buffer.append($0) }
        }
        var sent = 0
        while !harness.client.isClosed, sent < 20_000 {
            harness.send(Frames.openWindow(1, by: 1))
            harness.step()
            sent += 1
        }
        #expect(harness.client.goaways == [Self.calm])
        #expect(sent > 1_000 && sent < 2_000)
    }

    @Test func callsOfAnyNumberAreServedWithWindowsAndPriorities() throws {
        let harness = try self.started()
        for index in 0 ..< 5_000 {
            let stream = UInt32(2 * index + 1)
            harness.send(
                self.call(stream) + Frames.frame(2, 0, stream, [0, 0, 0, 0, 16])
                    + Frames.openWindow(0, by: 7) + Frames.frame(0xFA, 0, 0, []))
            harness.step()
            harness.loop.respond(to: harness.handler.token!) { $0.append(UInt16(7)) }
            harness.step()
        }
        #expect(!harness.client.isClosed && harness.client.goaways.isEmpty)
    }

    @Test func aStreamOfSmallMessagesIsServed() throws {
        let harness = try self.started()
        harness.send(Frames.open(1, "/t.T/Client"))
        var delivered = 0
        harness.handler.onMessage = { _ in delivered += 1 }
        // One read of them exceeds the burst.
        let block = [[UInt8]](
            repeating: Frames.data(1, Frames.message([])), count: 4_000
        ).flatMap { $0 }
        for _ in 0 ..< 5 {
            harness.send(block)
            harness.step()
        }
        while harness.step() == .now || delivered < 20_000, !harness.client.isClosed {}
        #expect(!harness.client.isClosed && delivered == 20_000)
    }

    @Test func G26_aMessageInFramesOfOneByteIsServed() throws {
        let harness = try self.started()
        let message = Frames.message([UInt8](repeating: 3, count: 2_500))
        harness.send(Frames.open(1, Self.unary))
        for byte in message {
            harness.send(Frames.frame(Frames.data, 0, 1, [byte]))
        }
        harness.send(Frames.frame(Frames.data, 1, 1, []))
        for _ in 0 ..< 3 { harness.step() }
        #expect(harness.handler.messages.map(\.count) == [2_500])
    }

    // MARK: Streams

    @Test func framesOfAStreamThatWeResetAreIgnored() throws {
        let harness = try self.started()
        harness.send(
            Frames.frame(
                Frames.headers, 4, 1,
                [0x83, 0x86, 0x84, 0, 12] + Array("content-type".utf8) + [1, 97]))
        harness.step()
        #expect(harness.frames.contains { $0.kind == Frames.reset && $0.stream == 1 })
        harness.send(Frames.data(1, Frames.message([1]), end: true) + self.call(3))
        harness.step()
        #expect(harness.handler.messages == [[1]] && harness.client.goaways.isEmpty)
    }

    @Test func framesAfterTheClientsOwnResetAreAnError() throws {
        let harness = try self.started()
        harness.send(
            Frames.open(1, Self.unary) + Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8])
                + Frames.data(1, Frames.message([1])))
        harness.step()
        #expect(harness.client.goaways == ["5 "] && harness.client.isClosed)
    }

    @Test func whatComesBeforeAnErrorIsServed() throws {
        let harness = try self.started()
        harness.send(self.call(1) + Frames.frame(2, 0, 0, [0, 0, 0, 1, 0]))
        harness.step()
        #expect(harness.handler.messages == [[1]])
        #expect(harness.client.goaways == ["1 "] && self.lastStreams(harness) == [1])
    }

    // MARK: Headers

    @Test(arguments: [
        ("host", "T", true), ("host", "t", true), ("host", "t:80", true), ("host", "t:443", true),
        ("host", "u", false), ("host", "t:81", false), ("host", "t.example", false),
        ("host", "t:80:80", false),
    ])
    func A15_aHostThatDiffersFromTheAuthorityIsMalformed(
        name: String, value: String, isServed: Bool
    ) throws {
        let harness = try self.started()
        harness.send(
            self.headers(1, [(name, value)]) + Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        let resets = harness.frames.filter { $0.kind == Frames.reset && $0.stream == 1 }
        #expect(resets.map { Frames.number($0.payload) } == (isServed ? [] : [1]))
        #expect(harness.handler.messages == (isServed ? [[1]] : []))
    }

    @Test(arguments: [
        [("grpc-timeout", "x"), ("grpc-timeout", "5S")],
        [("grpc-timeout", "5S"), ("grpc-timeout", "")],
        [("content-type", "text/html")], [("grpc-encoding", "br"), ("grpc-encoding", "identity")],
    ])
    func G14_aSecondValueCannotHideAnInvalidOne(extra: [(String, String)]) throws {
        let harness = try self.started()
        harness.send(self.headers(1, extra) + Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        #expect(harness.handler.messages.isEmpty)
    }

    @Test func theShortestOfSeveralTimeoutsCounts() throws {
        let harness = try self.started()
        harness.send(self.headers(1, [("grpc-timeout", "2S"), ("grpc-timeout", "9S")]))
        harness.step()
        harness.pass(seconds: 1)
        #expect(harness.loop.isOpen(harness.handler.token!))
        harness.pass(seconds: 2)
        #expect(!harness.loop.isOpen(harness.handler.token!))
    }

    // MARK: Shutdown

    @Test func aStreamBehindTheLastGoawayIsRefusedAndTheLastStreamNeverRises() throws {
        let harness = try self.started()
        harness.send(Frames.open(1, "/t.T/Both"))
        harness.loop.beginDrain(graceNanoseconds: 5_000_000_000)
        harness.step()
        // The acknowledgement makes the last GOAWAY; the next stream comes before it has left.
        let ping = harness.frames.last { $0.kind == Frames.ping }
        #expect(ping != nil)
        harness.send(Frames.frame(Frames.ping, 1, 0, ping?.payload ?? []) + self.call(3))
        harness.step()
        let resets = harness.frames.filter { $0.kind == Frames.reset && $0.stream == 3 }
        #expect(resets.map { Frames.number($0.payload) } == [7])
        #expect(harness.handler.messages.isEmpty)
        harness.pass(seconds: 6)
        harness.loop.finish()
        harness.client.turn()
        let lasts = self.lastStreams(harness)
        #expect(lasts.first == 0x7FFF_FFFF && lasts.dropFirst().allSatisfy { $0 == 1 })
        #expect(lasts.count >= 2)
    }
}
