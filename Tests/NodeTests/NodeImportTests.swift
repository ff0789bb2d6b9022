import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Imports on a whole node: order, restarts in the middle of a chunk, clients that go or do not
/// read.
@Suite struct NodeImportTests {
    private static let method = RPCMethod.profiles("ImportProfiles")

    /// Parts of two operations, so that few operations are several parts.
    private static func small(_ configuration: inout NodeConfiguration) {
        configuration.streams.importParts.operationsMax = 2
    }

    /// A chunk with one event of each of as many people.
    private static func chunk(
        _ id: String, _ count: Int, project: String = "default", more: String = ""
    ) throws -> JSONValue {
        let operations = (0 ..< count).map {
            #"{"track":{"identifier":{"custom_id":"\#(id)-\#($0)"},"events":[{"name":"visit"}]}}"#
        }
        return try Requests.json(
            #"{"project":"\#(project)","chunk_id":"\#(id)","#
                + #""operations":[\#(operations.joined(separator: ","))]\#(more)}"#)
    }

    private static func counts(_ response: JSONValue) -> [Int64] {
        ["applied", "unchanged", "rejected"].map { response[$0]?.integer ?? 0 }
    }

    /// How many events of a person there are.
    private static func visits(_ harness: NodeHarness, _ person: String) throws -> Int64 {
        let call = try harness.call("GetProfile", Requests.person(person))
        guard call.status == 0 else { return 0 }
        let counters = call.responses.first?["profile"]?["event_counters"]?.items
        return counters?.first?["count"]?.integer ?? 0
    }

    private static func send(_ chunks: [JSONValue], _ harness: NodeHarness) throws -> WireCall {
        let client = try harness.connect()
        let call = try client.open(Self.method)
        for chunk in chunks { try client.send(chunk, on: call) }
        client.finishRequests(of: call)
        try harness.wait(for: "the import's end") { call.hasEnded }
        return call
    }

    /// An import that stays open behind the response to its first chunk, or has ended instead.
    private static func open(
        _ id: String, _ harness: NodeHarness, from host: String
    ) throws -> (client: WireClient, call: WireCall) {
        let client = try harness.connect(from: host)
        let call = try client.open(Self.method)
        try client.send(try Self.chunk(id, 1), on: call)
        try harness.wait(for: "a response") { !call.messages.isEmpty || call.hasEnded }
        return (client, call)
    }

    @Test(arguments: TestLog.allCases)
    func chunksHaveTheirResponsesInOrder(log: TestLog) throws {
        let harness = try log.world().start()
        let chunks = try (0 ..< 8).map { try Self.chunk("c\($0)", $0 * 300) }
        let call = try Self.send(chunks, harness)
        #expect(call.status == 0, "\(call.message)")
        #expect(call.responses.map { $0["chunk_id"]?.text } == (0 ..< 8).map { "c\($0)" })
        #expect(call.responses.map(Self.counts) == (0 ..< 8).map { [$0 * 300, 0, 0] })
        let lsns = call.responses.compactMap { $0["lsn"]?.integer }
        #expect(lsns == lsns.sorted() && Set(lsns).count == 8)
        #expect(harness.items.stored == 28 * 300 && harness.items.received == 28 * 300)
    }

    /// The process is killed after each number of steps: the chunk sent again has every event once.
    @Test(arguments: [1, 2, 3, 4, 5])
    func chunkCutByACrashGoesOnWhereItWas(frames: Int) throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        let client = try harness.connect()
        let call = try client.open(Self.method)
        try client.send(try Self.chunk("c", 20), on: call)
        for _ in 0 ..< 10_000 where harness.items.stored < frames * 2 {
            guard try harness.stepOne() else { break }
        }
        #expect(call.responses.isEmpty)
        let disk = harness.kill()
        let again = try NodeHarness.serving(disk, configure: Self.small)
        let durable = again.node.recovered?.store.profileCount ?? 0
        #expect(durable >= frames * 2 && durable < 20)
        let retried = try Self.send([try Self.chunk("c", 20)], again)
        #expect(retried.status == 0, "\(retried.message)")
        #expect(retried.responses.map(Self.counts) == [[20, 0, 0]])
        for number in 0 ..< 20 { #expect(try Self.visits(again, "c-\(number)") == 1) }
        let last = try Self.send([try Self.chunk("c", 20)], again)
        #expect(last.responses.first?["replayed"]?.isTrue == true)
        #expect(last.responses.map(Self.counts) == [[20, 0, 0]])
    }

    @Test(arguments: TestLog.allCases)
    func drainEndsAnImportThatGoesOnElsewhere(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let client = try harness.connect()
        let call = try client.open(Self.method)
        for number in 0 ..< 4 { try client.send(try Self.chunk("c\(number)", 1_500), on: call) }
        for _ in 0 ..< 200 where harness.items.stored < 2_000 { _ = try harness.stepOne() }
        try harness.drain()
        #expect(call.hasEnded && call.status == 14, "\(call.message)")
        let responded = call.responses.count
        let again = try world.start(harness.disk)
        #expect(again.node.recovered?.store.digest() == harness.node.recovered?.store.digest())
        let retried = try Self.send(try (0 ..< 4).map { try Self.chunk("c\($0)", 1_500) }, again)
        #expect(retried.responses.map(Self.counts) == (0 ..< 4).map { _ in [1_500, 0, 0] })
        let replayed = retried.responses.map { $0["replayed"]?.isTrue == true }
        #expect(replayed.prefix(responded).allSatisfy { $0 })
        #expect(again.node.recovered?.store.profileCount == 6_000)
    }

    @Test func cancelledImportLeavesTheQueueToOthers() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        let client = try harness.connect()
        let lost = try client.open(Self.method)
        try client.send(try Self.chunk("a", 1_000), on: lost)
        for _ in 0 ..< 60 { _ = try harness.stepOne() }
        client.cancel(lost)
        let cut = try harness.connect()
        let cutCall = try cut.open(Self.method)
        try cut.send(try Self.chunk("b", 1_000), on: cutCall)
        for _ in 0 ..< 60 { _ = try harness.stepOne() }
        cut.cut()
        let call = try Self.send([try Self.chunk("c", 100)], harness)
        #expect(call.responses.map(Self.counts) == [[100, 0, 0]])
        let again = try Self.send(
            [try Self.chunk("a", 1_000), try Self.chunk("b", 1_000)], harness)
        #expect(again.responses.map(Self.counts) == [[1_000, 0, 0], [1_000, 0, 0]])
        #expect(harness.node.recovered?.store.profileCount == 2_100)
    }

    /// A chunk that turns out to be done, with parts of it in the queue, while the one behind it is
    /// still being packed.
    /// In one of these orders the log is done with the first chunk while the second is packed.
    @Test(arguments: UInt64(1) ... 4)
    func doneChunkMakesWayForOneThatIsNotPacked(order: UInt64) throws {
        let harness = try NodeHarness.serving(order: order, configure: Self.small)
        let chunks = [try Self.chunk("a", 40), try Self.chunk("b", 3_000)]
        for isAgain in [false, true, true] {
            let call = try Self.send(chunks, harness)
            #expect(call.status == 0, "\(call.message)")
            #expect(call.responses.map(Self.counts) == [[40, 0, 0], [3_000, 0, 0]])
            #expect(call.responses.allSatisfy { ($0["replayed"]?.isTrue == true) == isAgain })
        }
    }

    /// One that has much to do does not hold another one up.
    @Test func importsTakeTurns() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        let client = try harness.connect()
        let long = try client.open(Self.method)
        try client.send(try Self.chunk("long", 2_000), on: long)
        try harness.wait(for: "the first parts") { harness.items.stored > 0 || long.hasEnded }
        let other = try harness.connect()
        let short = try other.open(Self.method)
        try other.send(try Self.chunk("short", 10), on: short)
        for _ in 0 ..< 100_000 where short.responses.isEmpty { _ = try harness.stepOne() }
        #expect(short.responses.map(Self.counts) == [[10, 0, 0]])
        try harness.wait(for: "the long one") { !long.responses.isEmpty }
    }

    @Test func clientThatDoesNotReadIsHeldBack() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 64
        })
        let client = try harness.connect()
        client.setWindow(0)
        try harness.settle()
        let call = try client.open(Self.method)
        for number in 0 ..< 20 { try client.send(try Self.chunk("c\(number)", 200), on: call) }
        client.finishRequests(of: call)
        try harness.pass(milliseconds: 500)
        // The transport takes a few responses, then two chunks wait, and the rest is held back.
        #expect(call.messages.isEmpty && harness.items.stored <= 1_600)
        client.setWindow(65_535)
        try harness.wait(for: "the import's end") { call.hasEnded }
        #expect(call.status == 0 && call.responses.count == 20)
    }

    // MARK: Other calls

    /// The most commands that wait for the log at once, while a chunk of as many parts of two
    /// operations is imported.
    private static func peak(parts: Int, _ id: String, _ harness: NodeHarness) throws -> Int {
        let metrics = try #require(harness.node.recovered).pipeline.metrics
        let client = try harness.connect()
        let call = try client.open(Self.method)
        try client.send(try Self.chunk(id, parts * 2), on: call)
        client.finishRequests(of: call)
        var peak = 0
        while try harness.stepOne() { peak = max(peak, metrics.commandsWaiting) }
        #expect(call.status == 0 && call.responses.map(Self.counts) == [[Int64(parts) * 2, 0, 0]])
        return peak
    }

    @Test func importsMakeWayForAWhileAfterEachCallThatWrites() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            Self.small(&configuration)
            configuration.streams.importYieldBatches = 10
        })
        _ = try harness.call("Track", Requests.track("p", ["e0"]))
        #expect(try Self.peak(parts: 8, "beside", harness) == 2)
        // The tenth batch with a part is the first that may have more.
        #expect(try Self.peak(parts: 60, "alone", harness) == 8)
        _ = try harness.call("GetProfile", Requests.person("p"))
        #expect(try Self.peak(parts: 20, "again", harness) == 8)
        _ = try harness.call("Track", Requests.track("p", ["e1"]))
        #expect(try Self.peak(parts: 8, "beside again", harness) == 2)
    }

    // MARK: What ends a stream

    @Test func whatEndsAStreamKeepsWhatCameBefore() throws {
        let harness = try NodeHarness.serving()
        let first = try Self.chunk("c0", 3)
        let cases: [(bad: JSONValue, status: Int32)] = [
            (try Self.chunk("c0", 4), 6), (try Self.chunk("c1", 1, project: "none"), 5),
            (try Self.chunk("", 1), 3), (try Self.chunk("c1", 10_001), 3),
        ]
        for (bad, status) in cases {
            let call = try Self.send([first, bad, try Self.chunk("c9", 1)], harness)
            #expect(call.status == status, "\(call.message)")
            #expect(call.responses.map(Self.counts) == [[3, 0, 0]])
        }
        #expect(try Self.visits(harness, "c9-0") == 0)
        #expect(try Self.visits(harness, "c0-0") == 1)
    }

    @Test func importsOverTheirLimitAreRejected() throws {
        let harness = try NodeHarness.serving(configure: { $0.streams.importStreamsMax = 1 })
        let client = try harness.connect()
        let open = try client.open(Self.method)
        try client.send(try Self.chunk("a", 1), on: open)
        try harness.wait(for: "its response") { !open.responses.isEmpty }
        let rejected = try Self.send([try Self.chunk("b", 1)], harness)
        #expect(rejected.status == 8)
        client.finishRequests(of: open)
        try harness.wait(for: "its end") { open.hasEnded }
        #expect(try Self.send([try Self.chunk("b", 1)], harness).status == 0)
    }

    @Test func oneAddressGetsHalfOfThePlacesAndAnotherIsServed() throws {
        let harness = try NodeHarness.serving(configure: { $0.streams.importStreamsMax = 4 })
        let greedy = try (0 ..< 3).map { try Self.open("a\($0)", harness, from: "10.0.0.1") }
        #expect(greedy.map { $0.call.status } == [nil, nil, 8])
        #expect(greedy[2].call.reason == "LIMIT_EXCEEDED")
        #expect(
            greedy[2].call.failure.metadata
                == ["limit": "import_streams_per_peer_max", "maximum": "2"])
        #expect(try Self.open("b", harness, from: "10.0.0.2").call.status == nil)
        // Each end frees one place: a cancellation, a lost connection, the last response.
        greedy[0].client.cancel(greedy[0].call)
        greedy[1].client.close()
        try harness.settle()
        let next = try (0 ..< 3).map { try Self.open("c\($0)", harness, from: "10.0.0.1") }
        #expect(next.map { $0.call.status } == [nil, nil, 8])
        next[0].client.finishRequests(of: next[0].call)
        try harness.wait(for: "its end") { next[0].call.hasEnded }
        #expect(try Self.open("d", harness, from: "10.0.0.1").call.status == nil)
    }

    @Test func validationLeavesNoTrace() throws {
        let harness = try NodeHarness.serving()
        let call = try Self.send(
            [
                try Self.chunk("c", 5, more: #","validate_only":true"#),
                try Self.chunk("c", 6),
            ], harness)
        #expect(call.status == 0, "\(call.message)")
        #expect(call.responses.map(Self.counts) == [[5, 0, 0], [6, 0, 0]])
        #expect(harness.items.received == 6)
    }

    @Test func rejectionsSayWhatIsWrong() throws {
        let harness = try NodeHarness.serving()
        let chunk = try Requests.json(
            #"{"project":"default","chunk_id":"c","operations":["#
                + #"{"track":{"identifier":{"custom_id":"a"},"events":[{"name":"a b"}]}},"#
                + #"{"track":{"identifier":{"custom_id":"a"},"events":[{"name":"x","#
                + #""occurred_at":"2001-01-01T00:00:00Z"}]}},"#
                + #"{"identify":{"custom_id":"a","request_id":"r"}},"#
                + #"{"identify":{"custom_id":"a"}}]}"#)
        for _ in 0 ..< 2 {
            let call = try Self.send([chunk], harness)
            let response = try #require(call.responses.first)
            #expect(Self.counts(response) == [1, 0, 3])
            let rejections = response["rejections"]?.items ?? []
            #expect(rejections.map { $0["index"]?.integer ?? 0 } == [0, 1, 2])
            #expect(rejections.map { $0["error"]?["code"]?.integer } == [3, 11, 3])
            let failures = rejections.map { RPCFailure(status: $0["error"] ?? .null) }
            #expect(
                failures.map { $0.violations.map(\.field) } == [
                    ["operations[0].track.events[0].name"],
                    ["operations[1].track.events[0].occurred_at"],
                    ["operations[2].identify.request_id"],
                ])
            #expect(
                failures.map(\.reason) == ["INVALID_FIELDS", "TIME_WINDOW", "INVALID_FIELDS"])
        }
    }
}
