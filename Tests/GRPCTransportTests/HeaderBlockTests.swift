import TestSupport
import Testing

@testable import GRPCTransport

/// Header blocks and streams of a whole loop: how long they may take, how many there may be.
@Suite struct HeaderBlockTests {
    private func started(limits: TransportLimits = TransportLimits()) throws -> LoopHarness {
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        return harness
    }

    /// Also one that begins when the time of the preface, which is as long, has passed.
    @Test(arguments: [0, 4, 20], [0, 15])
    func aHeaderBlockThatDoesNotEndIsCutOff(bytesOfTheFrame: Int, secondsBefore: Int) throws {
        let harness = try self.started()
        harness.connect()
        harness.pass(seconds: secondsBefore)
        // Beside an open call: no other timer bounds such a connection.
        harness.send(Frames.open(1, "/t.T/Both"))
        harness.step()
        let headers = Array(Frames.open(3, "/t.T/Both"))
        if bytesOfTheFrame == 0 {
            // Whole, and CONTINUATION is to follow.
            harness.send(Frames.frame(Frames.headers, 0, 3, Array(headers.dropFirst(9))))
        } else {
            harness.send(Array(headers.prefix(9 + bytesOfTheFrame)))
        }
        harness.step()
        harness.pass(seconds: 9)
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 2)
        #expect(harness.client.isClosed && harness.client.goaways == ["11 header_timeout"])
        #expect(harness.ends == ["header_timeout": 1])
        #expect(harness.handler.events == ["cancelled"])
    }

    /// The rest of one comes with the beginning of the next.
    @Test func eachHeaderBlockHasTimeOfItsOwn() throws {
        let harness = try self.started()
        harness.connect()
        for call in 0 ..< 4 {
            let headers = Frames.open(UInt32(2 * call + 1), "/t.T/Both")
            let next = Frames.open(UInt32(2 * call + 3), "/t.T/Both")
            harness.send(Array(headers.dropFirst(call == 0 ? 0 : 20) + next.prefix(20)))
            harness.step()
            harness.pass(seconds: 7)
        }
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 4)
        #expect(harness.client.isClosed && harness.ends == ["header_timeout": 1])
    }

    @Test func thePeerWithTooManyOpenHeaderBlocksLosesItsOldest() throws {
        var limits = TransportLimits()
        limits.headerBlocksPerPeerMax = 3
        let harness = try self.started(limits: limits)
        let loop = harness.loop
        let other = harness.connect(from: "127.0.0.8")
        other.send(Array(Frames.open(1, "/t.T/Both").prefix(20)))
        harness.step()
        var clients: [FrameClient] = []
        for _ in 0 ..< 5 {
            let client = harness.connect(from: "127.0.0.9")
            client.send(Array(Frames.open(1, "/t.T/Both").prefix(20)))
            harness.pass(seconds: 1)
            clients.append(client)
        }
        #expect(clients.map(\.isClosed) == [true, true, false, false, false])
        #expect(!other.isClosed && harness.ends == ["too_many_header_blocks": 2])
        #expect(loop.openHeaderBlocks == 4)
        // One ends its block, the others go.
        clients[2].send(Array(Frames.open(1, "/t.T/Both").dropFirst(20)))
        harness.step()
        #expect(loop.openHeaderBlocks == 3 && harness.handler.tokens.count == 1)
        for client in clients + [other] { client.close() }
        harness.step()
        harness.step()
        #expect(loop.openHeaderBlocks == 0)
    }

    @Test func theLoopWithTooManyOpenHeaderBlocksEndsThoseOfThePeerWithMost() throws {
        var limits = TransportLimits()
        limits.headerBlocksMax = 3
        let harness = try self.started(limits: limits)
        let one = harness.connect(from: "127.0.0.8")
        one.send(Array(Frames.open(1, "/t.T/Both").prefix(20)))
        harness.pass(seconds: 1)
        let many = (0 ..< 3).map { _ in
            let client = harness.connect(from: "127.0.0.9")
            client.send(Array(Frames.open(1, "/t.T/Both").prefix(20)))
            harness.pass(seconds: 1)
            return client
        }
        #expect(!one.isClosed && many.map(\.isClosed) == [true, false, false])
        #expect(harness.loop.openHeaderBlocks == 3)
    }

    /// A client may send it again elsewhere, and is not at fault.
    @Test func streamsBeyondTheLimitOfTheLoopAreRefused() throws {
        var limits = TransportLimits()
        limits.streamsMax = 2
        let harness = try self.started(limits: limits)
        harness.connect()
        let other = harness.connect()
        harness.send(Frames.open(1, "/t.T/Both") + Frames.open(3, "/t.T/Both"))
        harness.step()
        for call in 0 ..< 300 {
            other.send(Frames.open(UInt32(2 * call + 1), "/t.T/Both"))
            harness.step()
        }
        let resets = other.frames.filter { $0.kind == Frames.reset }
        #expect(resets.count == 300 && resets.allSatisfy { $0.payload == [0, 0, 0, 7] })
        #expect(!other.isClosed && harness.loop.metrics.streams == 2)
        harness.send(Frames.frame(Frames.reset, 0, 3, [0, 0, 0, 8]))
        harness.step()
        other.send(Frames.open(601, "/t.T/Both"))
        harness.step()
        #expect(harness.loop.metrics.streams == 2 && harness.handler.tokens.count == 3)
    }

    /// nghttp2 ignores the block, and says nothing of it.
    @Test func aHeaderBlockOnAStreamThatWasResetIsCutOff() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(Frames.open(1, "/t.T/Both") + Frames.open(3, "/t.T/None"))
        harness.step()
        #expect(harness.frames.contains { $0.kind == Frames.reset && $0.stream == 3 })
        harness.pass(seconds: 15)
        harness.send(Frames.frame(Frames.headers, 1, 3, [0, 1, 0x61, 1, 0x62]))
        harness.step()
        harness.pass(seconds: 11)
        #expect(harness.client.isClosed && harness.ends == ["header_timeout": 1])
    }

    /// nghttp2 resets the stream, and does not call it a frame.
    @Test func aMalformedHeaderBlockThatHasEndedIsNotCutOff() throws {
        let harness = try self.started()
        harness.connect()
        // Without a path.
        harness.send(Frames.open(1, "/t.T/Both") + Frames.frame(Frames.headers, 4, 3, []))
        harness.step()
        #expect(harness.frames.contains { $0.kind == Frames.reset && $0.stream == 3 })
        harness.pass(seconds: 30)
        #expect(!harness.client.isClosed)
    }

    /// One field of 4,000 bytes and a thousand references to it.
    @Test func trailersOfAnOlderStreamCountAsHeadersDo() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(Frames.open(1, "/t.T/Both") + Frames.open(3, "/t.T/Both"))
        harness.step()
        let value = [UInt8](repeating: 0x61, count: 3_900)
        let field = [0x40, 1, UInt8(ascii: "a"), 0x7F, 0xBD, 0x1D] + value
        let block = field + [UInt8](repeating: 0xBE, count: 1_000)
        harness.send(Frames.frame(Frames.headers, 5, 1, block))
        harness.step()
        #expect(harness.client.isClosed && harness.ends == ["header_flood": 1])
    }
}
