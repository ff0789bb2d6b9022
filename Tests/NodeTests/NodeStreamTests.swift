import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Streams, and what happens to calls when connections and the node end.
@Suite struct NodeStreamTests {
    private static func track(_ number: Int, _ person: String = "anna") throws -> JSONValue {
        try Requests.json(
            Requests.track(person, ["e\(number)"], more: #","sequence":\#(number)"#))
    }

    private static func sequences(_ call: WireCall) -> [Int64] {
        call.responses.compactMap { $0["sequence"]?.integer }
    }

    @Test(arguments: TestLog.allCases)
    func responsesOfAStreamComeInOrder(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let client = try harness.connect()
        let call = try client.open(.profiles("TrackStream"))
        for number in 1 ... 100 { try client.send(try Self.track(number), on: call) }
        client.finishRequests(of: call)
        try harness.wait(for: "the stream's end") { call.hasEnded }
        #expect(call.status == 0, "\(call.message)")
        #expect(Self.sequences(call) == Array(1 ... 100))
    }

    /// A client that does not read is held back, and loses nothing once it reads again.
    @Test func clientThatDoesNotReadIsHeldBack() throws {
        let harness = try NodeHarness.serving()
        let client = try harness.connect()
        let call = try client.open(.profiles("TrackStream"))
        try harness.settle()
        client.isReading = false
        let count = 12_000
        for number in 1 ... count { try client.send(try Self.track(number), on: call) }
        client.finishRequests(of: call)
        try harness.pass(milliseconds: 200)
        let held = call.bytesUnsent
        #expect(held > 0, "the server has taken everything although nobody reads")
        #expect(harness.items.stored < UInt64(count))
        client.isReading = true
        try harness.wait(for: "the stream's end") { call.hasEnded }
        #expect(call.status == 0, "\(call.message)")
        #expect(Self.sequences(call) == (1 ... Int64(count)).map { $0 })
    }

    /// The stream of another host has more than each of them.
    @Test func manyStreamsOfAHostThatDoesNotReadDisplaceEachOther() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 64
            $0.streams.unreadResponseBytesMax = 6_000
        })
        let other = try harness.connect(from: "10.0.0.2")
        let greedy = try harness.connect(from: "10.0.0.1")
        for client in [other, greedy] { client.setWindow(0) }
        try harness.settle()
        let slow = try other.open(.profiles("TrackStream"))
        for number in 1 ... 30 { try other.send(try Self.track(number), on: slow) }
        try harness.settle()
        var streams: [WireCall] = []
        for _ in 0 ..< 10 {
            let stream = try greedy.open(.profiles("TrackStream"))
            for number in 1 ... 20 { try greedy.send(try Self.track(number, "bob"), on: stream) }
            streams.append(stream)
        }
        try harness.pass(milliseconds: 100)
        for client in [other, greedy] { client.setWindow(65_535) }
        other.finishRequests(of: slow)
        try harness.wait(for: "the slow stream's end") { slow.hasEnded }
        #expect(slow.status == 0 && Self.sequences(slow) == Array(1 ... 30))
        let ended = streams.filter(\.hasEnded)
        #expect(!ended.isEmpty && ended.allSatisfy { $0.status == RPCFailure.resourceExhausted })
    }

    /// Those before it are in the log.
    @Test func aMessageThatIsTooLargeEndsItsStreamBehindTheResponsesToThoseBefore() throws {
        let harness = try NodeHarness.serving()
        let client = try harness.connect()
        let stream = try client.open(.profiles("TrackStream"))
        for number in 1 ... 5 { try client.send(try Self.track(number), on: stream) }
        client.send(bytes: [UInt8](repeating: 0, count: (4 << 20) + 1), on: stream)
        try harness.wait(for: "the stream's end") { stream.hasEnded }
        #expect(stream.status == RPCFailure.resourceExhausted)
        #expect(Self.sequences(stream) == [1, 2, 3, 4, 5] && harness.items.stored == 5)
    }

    @Test func requestsThatWaitForTheLogAreRejectedBeyondTheirBudgetThoseOfTheLargestPeerFirst()
        throws
    {
        let harness = try NodeHarness.serving(configure: {
            $0.pipeline.streamCommandsWaitingMax = 1
            $0.streams.postponedBytesMax = 7_000
        })
        let pipeline = try #require(harness.node.recovered?.pipeline)
        #expect(pipeline.reserve(bytes: 8) == .none)
        func streams(_ count: Int, from host: String, events: Int) throws -> [WireCall] {
            let client = try harness.connect(from: host)
            return try (0 ..< count).map { number in
                let stream = try client.open(.profiles("TrackStream"))
                let padding = String(repeating: "e", count: 80)
                let names = (0 ..< events).map { "\(padding)\(host)-\(number)-\($0)" }
                try client.send(
                    try Requests.json(Requests.track("anna", names, more: #","sequence":7"#)),
                    on: stream)
                return stream
            }
        }
        let other = try streams(1, from: "10.0.0.2", events: 15)
        let greedy = try streams(6, from: "10.0.0.1", events: 11)
        try harness.pass(milliseconds: 10)
        let rejected = greedy.filter { !$0.messages.isEmpty }
        let first = rejected.first?.responses.first
        #expect((1 ... 3).contains(rejected.count), "\(rejected.count) \(first ?? .null)")
        #expect(other[0].messages.isEmpty)
        for stream in rejected {
            #expect(stream.responses.first?["sequence"]?.integer == 7)
            #expect(stream.responses.first?["error"]?["code"]?.integer == 8)
            #expect(!stream.hasEnded)
        }
        let before = harness.items
        #expect(before.stored == 0 && before.rejected > 0)
        pipeline.release(commands: 1, bytes: 8)
        // Something wakes the loop.
        _ = try harness.call("GetProfile", Requests.person("nobody"))
        try harness.pass(milliseconds: 100)
        #expect((other + greedy).allSatisfy { $0.messages.count == 1 && !$0.hasEnded })
        #expect(harness.items.rejected == before.rejected)
    }

    @Test func cutConnectionLosesNoOtherCall() throws {
        let harness = try NodeHarness.serving()
        let cut = try harness.connect()
        let lost = try cut.open(.profiles("TrackStream"))
        for number in 1 ... 10 { try cut.send(try Self.track(number), on: lost) }
        let other = try harness.connect()
        let call = try other.call(.profiles("Track"), try Self.track(11, "bob"))
        _ = cut.turn()
        _ = try harness.stepOne()
        cut.cut()
        try harness.wait(for: "the other call") { call.hasEnded }
        #expect(call.status == 0 && lost.hasEnded && lost.status == nil)
        try harness.pass(milliseconds: 100)
        #expect(harness.node.transportMetrics[0].connections == 1)
    }

    @Test(arguments: TestLog.allCases)
    func drainEndsStreamsAndLosesNoResponse(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let client = try harness.connect()
        let stream = try client.open(.profiles("TrackStream"))
        for number in 1 ... 20 { try client.send(try Self.track(number), on: stream) }
        let unary = try client.call(.profiles("Track"), try Self.track(30, "bob"))
        // Drained with the writes under way.
        for _ in 0 ..< 10 { _ = try harness.stepOne() }
        try harness.drain()
        #expect(unary.status == 0)
        #expect(stream.hasEnded && Self.sequences(stream) == Array(1 ... 20))
        let again = try world.start(harness.disk)
        #expect(again.node.recovered?.store.digest() == harness.node.recovered?.store.digest())
        #expect(again.node.recovered?.report.framesCopied == 0, "a clean end leaves a seal")
    }

    @Test func backupOfAClientThatDoesNotReadIsCompleteAndItsEndArrivesOnceItReads() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 64
        })
        for number in 0 ..< 20 {
            let call = try harness.call("Track", Requests.track("p\(number)", ["e"]))
            #expect(call.status == 0)
        }
        let client = try harness.connect()
        client.setWindow(0)
        try harness.settle()
        let backup = try client.call(
            .admin("Backup"), try Requests.json(#"{"destination":"/b"}"#))
        try harness.pass(milliseconds: 5_000)
        #expect(backup.messages.isEmpty && !backup.hasEnded)
        client.setWindow(65_535)
        try harness.wait(for: "the backup's end") { backup.hasEnded }
        #expect(backup.status == 0, "\(backup.message)")
        let last = backup.responses.last
        #expect(last?["bytes_done"] == last?["bytes_total"] && last?["bytes_done"] != nil)
    }
}
