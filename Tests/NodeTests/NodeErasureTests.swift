import IOSimulation
import ProfileClient
import ProfileService
import Storage
import TestSupport
import Testing

/// An erased person is in no stream from the response on, and in no file a day later.
@Suite struct NodeErasureTests {
    /// What every text of the people who are erased contains.
    private static let marker = "hush"
    private static let gone = ["hush-anna", "hush-bea"]
    private static let dayMinutes = 24 * 60

    private static func configure(_ configuration: inout NodeConfiguration) {
        configuration.log.segmentBytes = 64 << 10
        configuration.feed.blockBytes = 4_096
        configuration.feed.segmentBytesMax = 16_384
        configuration.feed.memoryBytes = 16_384
        configuration.feed.syncBytes = 8_192
        configuration.feed.unsyncedBytesMax = 65_536
    }

    private static func start(_ disk: SimulatedDisk = SimulatedDisk()) throws -> NodeHarness {
        try NodeHarness.serving(disk, configure: Self.configure)
    }

    // MARK: What is written

    private static func write(_ harness: NodeHarness, _ method: String, _ request: String) throws {
        let call = try harness.call(method, request)
        try #require(call.status == 0, "\(method): \(call.message)")
    }

    private static func event(_ marker: String) -> String {
        #"{"event_id":"\#(marker)-id","name":"visit","label":"\#(marker)-label","#
            + #""tags":["\#(marker)-tag"],"attributes":{"a":"\#(marker)-field"}}"#
    }

    /// A person in everything that a node keeps: attributes, addresses, consent with evidence,
    /// events, devices, a profile merged into it, request ids, firings that wait and that are due.
    private static func fill(_ harness: NodeHarness, _ name: String) throws {
        let device = #"{"project":"default","identifier":{"installation_id":"\#(name)-device"},"#
        try Self.write(
            harness, "Track",
            device + #""request_id":"\#(name)-r1","events":[\#(Self.event(name))]}"#)
        try Self.write(
            harness, "Identify",
            #"{"project":"default","custom_id":"\#(name)","request_id":"\#(name)-r2","#
                + #""attributes":{"set":{"note":"\#(name)-value","tags":["\#(name)-item"]},"#
                + #""native":{"email_address":"\#(name)@example.com"}},"#
                + #""source":{"name":"\#(name)-source"}}"#)
        try Self.write(
            harness, "Track",
            #"{"project":"default","identifier":{"custom_id":"\#(name)"},"#
                + #""events":[\#(Self.event(name + "-2"))]}"#)
        // The anonymous profile of the device, with its event and its firings, is merged.
        try Self.write(
            harness, "Identify",
            #"{"project":"default","custom_id":"\#(name)","installation_id":"\#(name)-device"}"#)
        try Self.write(
            harness, "UpdateSubscription",
            #"{"project":"default","identifier":{"custom_id":"\#(name)"},"source":"user","#
                + #""changes":[{"channel":"email","state":"subscribed"}],"#
                + #""evidence":{"reference":"\#(name)-ticket","method":"\#(name)-form"}}"#)
        try Self.write(
            harness, "BatchWrite",
            #"{"project":"default","operations":[{"track":{"identifier":{"custom_id":"\#(name)"},"#
                + #""events":[\#(Self.event(name + "-3"))]}}]}"#)
    }

    private static func createTriggers(_ harness: NodeHarness) throws {
        for delay in [0, 7_200] {
            try Self.write(
                harness, "CreateTrigger",
                #"{"project":"default","trigger":{"event_name":"visit","delay_seconds":\#(delay)}}"#
            )
        }
    }

    private static func pending(_ harness: NodeHarness) throws -> [Int64] {
        let call = try harness.call("ListTriggers", #"{"project":"default"}"#)
        return (call.response?["triggers"]?.items ?? []).map { $0["pending"]?.integer ?? 0 }
    }

    // MARK: What is looked for

    /// The files with the marker; everything that is on the disk, whether synced or not.
    private static func files(with marker: String, _ disk: SimulatedDisk) -> [String] {
        disk.snapshot.files.filter { Self.holds(marker, $0.content) }.map(\.path)
    }

    private static func shows(_ marker: String, _ messages: some Sequence<[UInt8]>) -> Bool {
        messages.contains { Self.holds(marker, $0) }
    }

    private static func holds(_ marker: String, _ content: [UInt8]) -> Bool {
        let wanted = Array(marker.utf8)
        var rest = content[...]
        while let first = rest.firstIndex(of: wanted[0]) {
            if rest[first...].starts(with: wanted) { return true }
            rest = rest[(first + 1)...]
        }
        return false
    }

    private static func watch(_ client: WireClient, from lsn: Int) throws -> WireCall {
        try client.call(
            .profiles("Watch"),
            try Requests.json(
                #"{"project":"default","from_lsn":"\#(lsn)","include_historical":true}"#))
    }

    /// What a new watcher is shown from a position on.
    private static func watched(_ harness: NodeHarness, from lsn: Int) throws -> [[UInt8]] {
        let client = try harness.connect()
        defer { client.close() }
        let call = try Self.watch(client, from: lsn)
        try harness.wait(for: "the changes") { call.messages.count > 1 }
        try harness.settle()
        return call.messages
    }

    // MARK: Tests

    @Test func noWatcherSeesAnErasedPersonFromTheResponseOn() throws {
        var harness = try Self.start()
        try Self.createTriggers(harness)
        // A reader of everything, and three that are held back with batches under way.
        let reading = try Self.watch(try harness.connect(), from: 1)
        var held: [(client: WireClient, call: WireCall)] = []
        for window in [0, 40, 1_000] as [UInt32] {
            let client = try harness.connect()
            client.setWindow(window)
            try harness.settle()
            held.append((client, try Self.watch(client, from: 1)))
        }
        for name in Self.gone { try Self.fill(harness, name) }
        try Self.fill(harness, "carl")
        try harness.settle()
        let wasShown = Self.shows(Self.marker, reading.messages)
        #expect(wasShown)
        #expect(try Self.pending(harness) == [9, 0])

        var before = held.map(\.call.messages.count)
        for (index, name) in Self.gone.enumerated() {
            let erase = try harness.call("EraseProfile", Requests.person(name))
            #expect(erase.response?["existed"]?.isTrue == true, "\(erase.message)")
            #expect(try Self.pending(harness) == [6 - 3 * Int64(index), 0])
        }
        before = held.map(\.call.messages.count).enumerated().map { max($1, before[$0]) }
        for (client, _) in held { client.setWindow(1 << 20) }
        try harness.wait(for: "those held back") {
            held.allSatisfy { Self.shows("carl-3-id", $0.call.messages) }
        }
        for (index, (_, call)) in held.enumerated() {
            // What was sent already, whole or in part, cannot be revoked.
            let isShown = Self.shows(Self.marker, call.messages.dropFirst(before[index] + 1))
            #expect(!isShown, "client \(index)")
        }
        try Self.expectNoMarker(harness)
        let kinds = try Self.kinds(Self.watched(harness, from: 1))
        #expect(kinds.count { $0 == "CHANGE_KIND_PROFILE_ERASED" } == 2)
        harness = try Self.start(harness.kill())
        try Self.expectNoMarker(harness)
        #expect(try Self.kinds(Self.watched(harness, from: 1)) == kinds)
    }

    /// From the beginning on; the messages are not printed.
    private static func expectNoMarker(_ harness: NodeHarness) throws {
        let isShown = Self.shows(Self.marker, try Self.watched(harness, from: 1))
        #expect(!isShown)
    }

    private static func kinds(_ messages: [[UInt8]]) throws -> [String] {
        try messages.compactMap { message in
            let json = try #require(
                MessageJSON.decode(message, as: RPCMethod.profiles("Watch").response))
            return json["change"]?["kind"]?.text
        }
    }

    /// Whoever follows a profile must hear of its erasure, also if he was away.
    @Test func watcherOfAProfileHearsOfAnErasureThatItMissed() throws {
        let harness = try Self.start()
        let device = #"{"project":"default","identifier":{"installation_id":"d"},"#
        let track = device + #""events":[\#(Self.event("x"))]}"#
        let loser = try #require(
            try harness.call("Track", track).response?["profile_id"]?.text)
        let identify = #"{"project":"default","custom_id":"anna"}"#
        let found = try #require(
            try harness.call("Identify", identify).response?["profile"]?["profile_id"]?.text)
        try Self.write(
            harness, "Identify", #"{"project":"default","custom_id":"anna","installation_id":"d"}"#)
        let lsn = try #require(harness.node.recovered?.store.appliedLSN)
        // One is parked at the head, as it has seen everything.
        let live = try Self.watch(try harness.connect(), from: lsn + 1, profiles: [loser])
        try harness.settle()
        try Self.write(harness, "Track", Requests.track("bob", ["e"]))
        try Self.write(harness, "EraseProfile", Requests.person("anna"))
        try Self.write(harness, "Track", Requests.track("bob", ["f"]))
        try harness.settle()
        for id in [loser, found] {
            let late = try Self.watch(try harness.connect(), from: lsn + 1, profiles: [id])
            try harness.settle()
            #expect(try Self.kinds(late.messages) == ["CHANGE_KIND_PROFILE_ERASED"], "\(id)")
        }
        #expect(try Self.kinds(live.messages) == ["CHANGE_KIND_PROFILE_ERASED"])
    }

    private static func watch(
        _ client: WireClient, from lsn: UInt64, profiles: [String]
    ) throws -> WireCall {
        let identifiers = profiles.map { #"{"profile_id":"\#($0)"}"# }.joined(separator: ",")
        return try client.call(
            .profiles("Watch"),
            try Requests.json(
                #"{"project":"default","from_lsn":"\#(lsn)","identifiers":[\#(identifiers)]}"#))
    }

    @Test(arguments: [false, true])
    func aDayLaterNoFileHasAnErasedPerson(isIdle: Bool) throws {
        let harness = try Self.start()
        try Self.createTriggers(harness)
        for name in Self.gone { try Self.fill(harness, name) }
        try Self.fill(harness, "carl")
        // Snapshots and feed segments have them too.
        #expect(try harness.call(.admin("CreateSnapshot"), "{}").status == 0)
        try harness.pass(milliseconds: 2_000)
        let files = Self.files(with: Self.marker, harness.disk)
        for part in [".feed", ".snapshot", ".log"] {
            #expect(files.contains { $0.hasSuffix(part) }, "\(files)")
        }
        for name in Self.gone { try Self.write(harness, "EraseProfile", Requests.person(name)) }

        for minute in 0 ..< Self.dayMinutes {
            harness.clock.advance(nanoseconds: 60_000_000_000)
            try harness.settle()
            if !isIdle, minute % 10 == 0 {
                try Self.write(harness, "Track", Requests.track("dave", ["e\(minute)"]))
            }
        }
        #expect(Self.files(with: Self.marker, harness.disk) == [])
        #expect(!Self.files(with: "carl", harness.disk).isEmpty)
        // Carl's firings with the delay are due by now, and nobody else's.
        let found = try Self.pending(harness)
        let tracked = isIdle ? 0 : Self.dayMinutes / 10
        let due = isIdle ? 0 : (Self.dayMinutes - 120) / 10
        #expect(found == [3 + Int64(tracked), 3 + Int64(due)])
        let again = try Self.start(harness.kill())
        #expect(Self.files(with: Self.marker, again.disk) == [])
        #expect(try Self.pending(again) == found)
    }
}
