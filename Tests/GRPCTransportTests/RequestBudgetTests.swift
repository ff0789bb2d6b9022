import Bytes
import TestSupport
import Testing

@testable import GRPCTransport

/// The budget of unfinished requests through a whole loop: what waits, who may finish, who is
/// abandoned.
@Suite struct RequestBudgetTests {
    private func started(_ change: (inout TransportLimits) -> Void = { _ in }) throws -> LoopHarness
    {
        var limits = TransportLimits()
        change(&limits)
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        harness.connect()
        return harness
    }

    /// The prefix of a message of `bytes`, and the first `sent` of them.
    private func begun(_ bytes: Int, sent: Int) -> [UInt8] {
        [0] + Frames.bytes(UInt32(bytes)) + [UInt8](repeating: 7, count: sent)
    }

    private func code(_ code: RPCStatusCode, _ harness: LoopHarness) -> UInt64 {
        harness.loop.metrics.snapshot().reduce(0) { $0 + $1.handled[Int(code.rawValue)] }
    }

    @Test func halfSentMessagesHoldTheirWindowsAndNoMore() throws {
        let harness = try self.started()
        let limits = harness.loop.limits
        let bytes = limits.messageBytesMax
        let streams = (0 ..< 20).map { UInt32(2 * $0 + 1) }
        for stream in streams {
            harness.send(
                Frames.open(stream, "/t.T/Unary")
                    + Frames.data(stream, self.begun(bytes, sent: 48_000)))
            harness.step()
        }
        // Two have their share; the first frame of each of the others, and their windows.
        let loop = harness.loop
        #expect(loop.requests.grants == 2)
        #expect(loop.requests.bytes <= 2 * (bytes + 5) + 18 * 48_005)
        #expect(loop.requests == harness.loop.peers.values.first?.requests)
        let opened = streams.map { harness.windowUpdates(of: $0) }
        #expect(
            opened.filter { $0 >= limits.grantedWindowBytes - limits.streamWindowBytes }.count == 2)
        #expect(opened[2...].allSatisfy { $0 == 0 })
        // The connection's window is not held by those that wait.
        for stream in streams {
            harness.send(Frames.frame(Frames.reset, 0, stream, [0, 0, 0, 8]))
            harness.step()
        }
        #expect(loop.requests == RequestBytes() && loop.connectionsAwaitingRequestBytes.isEmpty)
    }

    /// A client with more messages under way than the budget holds, which sends as its windows
    /// allow: each gets through.
    @Test(arguments: [1 << 20, 40_000])
    func everyMessageFinishesHoweverManyWait(bytes: Int) throws {
        let harness = try self.started()
        let loop = harness.loop
        harness.handler.onMessage = { call in
            loop.respond(to: call.token) { $0.append(UInt8(1)) }
        }
        var senders = (0 ..< 24).map { WindowedSender(stream: UInt32(2 * $0 + 1), bytes: bytes) }
        for sender in senders { harness.send(Frames.open(sender.stream, "/t.T/Unary")) }
        harness.step()
        var largest = 0
        for _ in 0 ..< 1_000 where harness.handler.messages.count < senders.count {
            var windows: [UInt32: Int] = [:]
            for frame in harness.frames where frame.kind == Frames.windowUpdate {
                windows[frame.stream, default: loop.limits.streamWindowBytes] += Int(
                    Frames.number(frame.payload) & 0x7FFF_FFFF)
            }
            for index in senders.indices {
                let window =
                    windows[senders[index].stream] ?? loop.limits.streamWindowBytes
                if let frame = senders[index].next(window: window) { harness.send(frame) }
            }
            harness.step()
            largest = max(largest, loop.requests.bytes)
        }
        #expect(harness.handler.messages.count == senders.count)
        #expect(harness.handler.messages.allSatisfy { $0.count == bytes })
        #expect(largest <= loop.limits.requestBytesPerConnectionMax + 24 * 100_000)
        #expect(loop.requests == RequestBytes())
    }

    @Test func aWholeMessageWithoutItsEndCountsUntilTheCallEnds() throws {
        let harness = try self.started()
        harness.send(
            Frames.open(1, "/t.T/Unary", timeout: "5S")
                + Frames.data(1, Frames.message([UInt8](repeating: 1, count: 40_000))))
        // A connection that has said little is read in small pieces at first.
        harness.step()
        harness.step()
        #expect(harness.loop.requests == RequestBytes(bytes: 40_000, grants: 1))
        harness.pass(seconds: 6)
        #expect(
            harness.loop.requests == RequestBytes() && self.code(.deadlineExceeded, harness) == 1)
    }

    @Test func aPausedStreamsRequestsCount() throws {
        let harness = try self.started()
        harness.handler.onMessage = { harness.loop.pauseRequests(of: $0.token) }
        let messages = (0 ..< 4).flatMap { _ in Frames.message([UInt8](repeating: 1, count: 9_000))
        }
        harness.send(Frames.open(1, "/t.T/Both") + Frames.data(1, messages))
        harness.step()
        harness.step()
        #expect(harness.loop.requests.bytes == 3 * 9_005)
        harness.handler.onMessage = { _ in }
        harness.loop.resumeRequests(of: harness.handler.token!)
        harness.step()
        #expect(harness.loop.requests == RequestBytes() && harness.handler.messages.count == 4)
    }

    @Test func aSlowMessageIsAbandonedWhenOthersWait() throws {
        let harness = try self.started()
        let bytes = harness.loop.limits.messageBytesMax
        for stream in [UInt32(1), 3] {
            harness.send(
                Frames.open(stream, "/t.T/Unary") + Frames.data(stream, self.begun(bytes, sent: 10))
            )
            harness.step()
        }
        harness.pass(seconds: 20)
        // Nobody waits, so nobody minds.
        #expect(harness.loop.requests.grants == 2)
        harness.send(Frames.open(5, "/t.T/Unary") + Frames.data(5, self.begun(bytes, sent: 10)))
        harness.step()
        harness.step()
        #expect(harness.loop.requests.grants == 2 && self.code(.resourceExhausted, harness) == 1)
    }

    @Test func theLargestHolderIsAbandonedWhenItsPeerHoldsTooMuch() throws {
        let harness = try self.started { limits in
            limits.requestBytesMax = 4 << 20
            limits.requestBytesPerConnectionMax = 1 << 20
        }
        let loop = harness.loop
        let modest = harness.connect()
        modest.send(
            Frames.open(1, "/t.T/Unary") + Frames.data(1, self.begun(600_000, sent: 16_000)))
        harness.step()
        for stream in 0 ..< 60 {
            let stream = UInt32(2 * stream + 1)
            harness.send(
                Frames.open(stream, "/t.T/Unary")
                    + Frames.data(stream, self.begun(900_000, sent: 64_000)))
            harness.step()
            #expect(loop.requests.bytes <= loop.limits.requestBytesPerPeerMax)
        }
        #expect(self.code(.resourceExhausted, harness) > 0)
        // The other connection of the same peer keeps its request.
        modest.send(Frames.data(1, [UInt8](repeating: 7, count: 48_000)))
        harness.step()
        #expect(loop.requests.bytes > 0)
        #expect(modest.frames.allSatisfy { $0.kind != Frames.reset && $0.kind != Frames.headers })
    }

    /// Lets a client send a whole message as its windows allow, for so many seconds at most.
    ///
    /// - Returns: The seconds that it took; `nil`: it was not served.
    private func secondsUntilServed(
        _ client: FrameClient, bytes: Int, of harness: LoopHarness, max: Int,
        eachSecond: () -> Void = {}
    ) -> Int? {
        var sender = WindowedSender(stream: 1, bytes: bytes)
        client.send(Frames.open(1, "/t.T/Unary"))
        for second in 0 ..< max {
            for _ in 0 ..< 200 {
                let opened = client.frames
                    .filter { $0.kind == Frames.windowUpdate && $0.stream == 1 }
                    .reduce(0) { $0 + Int(Frames.number($1.payload) & 0x7FFF_FFFF) }
                guard
                    let frame = sender.next(
                        window: harness.loop.limits.streamWindowBytes + opened)
                else { break }
                client.send(frame)
                harness.step()
            }
            if harness.handler.messages.contains(where: { $0.count == bytes }) { return second }
            eachSecond()
            harness.pass(seconds: 1)
        }
        return nil
    }

    /// Clients of an address that begin 20 messages on each of four connections and never end one.
    private func slowClients(
        _ harness: LoopHarness, from host: String, bytes: Int
    ) -> [FrameClient] {
        (0 ..< 4).map { _ in
            let client = harness.connect(from: host)
            for stream in 0 ..< 20 {
                self.begin(UInt32(2 * stream + 1), bytes: bytes, on: client)
                harness.step()
            }
            return client
        }
    }

    private func begin(_ stream: UInt32, bytes: Int, on client: FrameClient) {
        client.send(
            Frames.open(stream, "/t.T/Unary") + Frames.data(stream, self.begun(bytes, sent: 10)))
    }

    /// What those that are abandoned free must not go to the 70 others, nor to those that begin
    /// meanwhile.
    @Test func aLargeRequestIsServedBesideManySlowOnesOfItsPeer() throws {
        let harness = try self.started { $0.requestBytesMax = 8 << 20 }
        let slow = self.slowClients(harness, from: "127.0.0.1", bytes: 300_000)
        #expect(harness.loop.requests.grants == 10)
        var next: UInt32 = 101
        let client = harness.connect()
        let seconds = self.secondsUntilServed(client, bytes: 800_000, of: harness, max: 20) {
            for client in slow { self.begin(next, bytes: 300_000, on: client) }
            next += 2
        }
        #expect(seconds.map { $0 <= 7 } == true)
        // No more of them were abandoned than it needed, and one for the next that waits.
        #expect((3 ... 4).contains(self.code(.resourceExhausted, harness)))
    }

    @Test func aPeerIsServedBesideTwoThatUseTheWholeBudgetUp() throws {
        let harness = try self.started { $0.requestBytesMax = 8 << 20 }
        for host in ["127.0.0.8", "127.0.0.9"] {
            _ = self.slowClients(harness, from: host, bytes: 300_000)
        }
        #expect(harness.loop.requests.bytes > 8 << 20 / 4 * 3 - 300_000)
        let client = harness.connect()
        let seconds = self.secondsUntilServed(client, bytes: 800_000, of: harness, max: 20)
        #expect(seconds.map { $0 <= 7 } == true)
    }

    /// Neither to the loop, nor to the connections of its peer that are left.
    @Test func aConnectionWhoseRequestsWaitLeavesNothingBehind() throws {
        let harness = try self.started { $0.requestBytesMax = 8 << 20 }
        let slow = self.slowClients(harness, from: "127.0.0.1", bytes: 300_000)
        #expect(harness.loop.connectionsAwaitingRequestBytes.count == 4)
        for client in slow { client.close() }
        harness.step()
        harness.step()
        #expect(harness.loop.connectionsAwaitingRequestBytes.isEmpty)
        #expect(harness.loop.requests == RequestBytes())
        #expect(harness.loop.peers.values.map(\.waitingConnections) == [0])
    }

    /// Its earlier messages are in the log, perhaps: they are responded to.
    @Test func aRequestStreamThatIsAbandonedIsLeftToItsHandler() throws {
        let harness = try self.started()
        var failed: [RPCStatus] = []
        harness.handler.onRequestsFailed = { _, status in
            failed.append(status)
            return true
        }
        let bytes = harness.loop.limits.messageBytesMax
        harness.send(
            Frames.open(1, "/t.T/Both")
                + Frames.data(1, Frames.message([1]) + self.begun(bytes, sent: 10)))
        harness.step()
        self.begin(3, bytes: bytes, on: harness.client)
        harness.step()
        harness.pass(seconds: 6)
        self.begin(5, bytes: bytes, on: harness.client)
        for _ in 0 ..< 3 { harness.step() }
        #expect(failed.map(\.code) == [.resourceExhausted])
        #expect(harness.loop.requests.grants == 2 && self.code(.resourceExhausted, harness) == 0)
        // What still comes goes nowhere and holds nothing.
        let held = harness.loop.requests
        harness.send(Frames.data(1, [UInt8](repeating: 7, count: 10_000)))
        harness.step()
        #expect(harness.loop.requests == held && harness.handler.messages == [[1]])
        let token = harness.handler.tokens[0]
        #expect([UInt8(2)].withUnsafeBytes { harness.loop.send($0, to: token) } == .sent)
        harness.loop.finish(token, with: try #require(failed.first))
        harness.step()
        #expect(harness.dataBytes(of: 1) == 6 && self.code(.resourceExhausted, harness) == 1)
        #expect(harness.handler.events.isEmpty)
    }

    @Test func aLargeMessageLeavesNoStorageBehind() throws {
        let harness = try self.started()
        var sender = WindowedSender(stream: 1, bytes: 2 << 20)
        harness.send(Frames.open(1, "/t.T/Unary"))
        for _ in 0 ..< 1_000 where harness.handler.messages.isEmpty {
            let window = harness.loop.limits.streamWindowBytes + harness.windowUpdates(of: 1)
            if let frame = sender.next(window: window) { harness.send(frame) }
            harness.step()
        }
        // The call waits for its response; its request is with the handler.
        let stream = harness.loop.stream(of: harness.handler.token!)!.takeUnretainedValue()
        #expect(harness.handler.messages.count == 1 && stream.message.capacity <= 64 << 10)
    }
}

/// One message, sent in frames as a window allows.
private struct WindowedSender {
    let stream: UInt32
    private let bytes: [UInt8]
    private var sent = 0

    init(stream: UInt32, bytes: Int) {
        self.stream = stream
        self.bytes = Frames.message([UInt8](repeating: UInt8(stream & 0xFF), count: bytes))
    }

    /// - Parameter window: All that the stream may have sent by now, in bytes.
    mutating func next(window: Int) -> [UInt8]? {
        let count = min(self.bytes.count - self.sent, window - self.sent, 16_000)
        guard count > 0 else { return nil }
        let part = Array(self.bytes[self.sent ..< self.sent + count])
        self.sent += count
        return Frames.data(self.stream, part, end: self.sent == self.bytes.count)
    }
}
