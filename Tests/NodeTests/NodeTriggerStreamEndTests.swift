import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import TestSupport
import Testing

/// What ends WatchTriggers calls, what they must not show, and how they are bounded.
@Suite struct NodeTriggerStreamEndTests {
    private static func open(
        _ harness: NodeHarness, _ request: String
    ) throws -> (client: WireClient, call: WireCall) {
        let client = try harness.connect()
        let call = try client.open(.profiles("WatchTriggers"))
        try client.send(try Requests.json(request), on: call)
        try harness.settle()
        return (client, call)
    }

    /// To everything by e-mail.
    private static func subscribe(_ harness: NodeHarness, _ person: String) throws {
        let call = try harness.call(
            "UpdateSubscription",
            #"{"project":"default","identifier":{"custom_id":"\#(person)"},"source":"user","#
                + #""changes":[{"channel":"email","state":"subscribed"}]}"#)
        #expect(call.status == 0, "\(call.message)")
    }

    @Test(arguments: [
        (#""trigger_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV""#, 5, "TRIGGER_NOT_FOUND"),
        (#""trigger_id":"one""#, 5, "TRIGGER_NOT_FOUND"),
        (#""in_flight_max":1"#, 3, "INVALID_FIELDS"),
        (#""trigger_id":"TRIGGER","in_flight_max":10001"#, 3, "INVALID_FIELDS"),
        (#""trigger_id":"TRIGGER","acknowledged_firing_ids":["x"]"#, 3, "INVALID_FIELDS"),
    ])
    func firstMessageThatIsWrongEndsTheCall(fields: String, status: Int32, reason: String) throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        let fields = fields.replacing("TRIGGER\"", with: "\(trigger)\"")
        let (_, call) = try Self.open(harness, #"{"project":"default",\#(fields)}"#)
        #expect(call.hasEnded && call.status == status && call.reason == reason, "\(call.message)")
    }

    @Test func largestNumberInFlightIsTaken() throws {
        let harness = try NodeHarness.serving()
        let stream = try TriggerClient(harness, try harness.makeTrigger(), inFlight: 10_000)
        #expect(!stream.call.hasEnded)
    }

    @Test func laterMessageMayNotNameAnotherTrigger() throws {
        let harness = try NodeHarness.serving()
        let (trigger, other) = (try harness.makeTrigger(), try harness.makeTrigger())
        let stream = try TriggerClient(harness, trigger)
        try stream.send(#"{"project":"default","trigger_id":"\#(trigger)"}"#)
        try stream.send(#"{"trigger_id":"\#(trigger)"}"#)
        #expect(!stream.call.hasEnded)
        try stream.send(#"{"trigger_id":"\#(other)"}"#)
        #expect(stream.call.status == 3 && stream.call.reason == "INVALID_FIELDS")
        let second = try TriggerClient(harness, trigger)
        try second.send(#"{"project":"elsewhere"}"#)
        #expect(second.call.status == 5 && second.call.reason == "PROJECT_NOT_FOUND")
        let third = try TriggerClient(harness, trigger)
        try third.send(#"{"acknowledged_firing_ids":["not an id"]}"#)
        #expect(third.call.status == 3 && third.call.reason == "INVALID_FIELDS")
    }

    @Test func deletionOfTheTriggerEndsItsStreams() throws {
        let harness = try NodeHarness.serving()
        let (trigger, other) = (try harness.makeTrigger(), try harness.makeTrigger())
        try harness.visit("anna", "e1")
        let streams = try [trigger, trigger, other].map { try TriggerClient(harness, $0) }
        let call = try harness.call(
            "DeleteTrigger", #"{"project":"default","trigger_id":"\#(trigger)"}"#)
        #expect(call.status == 0)
        try harness.settle()
        for stream in streams.prefix(2) {
            #expect(stream.call.status == 5 && stream.call.reason == "TRIGGER_NOT_FOUND")
        }
        #expect(!streams[2].call.hasEnded)
        try harness.visit("anna", "e2")
        #expect(streams[2].events == ["e1", "e2"])
        #expect(try #require(harness.node.recovered).triggers.streams == 1)
    }

    @Test func deletionOfTheProjectEndsItsStreams() throws {
        let harness = try NodeHarness.serving()
        _ = try harness.call(.admin("CreateProject"), #"{"project":"shop"}"#)
        let made = try harness.call(
            "CreateTrigger", #"{"project":"shop","trigger":{"event_name":"visit"}}"#)
        let trigger = try #require(made.response?["trigger"]?["trigger_id"]?.text)
        let stream = try TriggerClient(harness, trigger, project: "shop")
        #expect(!stream.call.hasEnded)
        _ = try harness.call(.admin("DeleteProject"), #"{"project":"shop"}"#)
        try harness.pass(milliseconds: 600)
        #expect(stream.call.hasEnded && stream.call.reason == "PROJECT_DELETED")
    }

    @Test func guardSettlesWhatMayNotBeSentAtEachDelivery() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger(
            #","guard_channel":"email","guard_topic":"offers","ack_deadline_seconds":10"#)
        for person in ["anna", "bob"] {
            let native = #""native":{"email_address":"\#(person)@example.com"}"#
            let call = try harness.call(
                "Identify",
                #"{"project":"default","custom_id":"\#(person)","attributes":{\#(native)}}"#)
            #expect(call.status == 0, "\(call.message)")
            _ = try harness.call(
                "UpdateSubscription", Requests.subscription(person, "subscribed", source: "user"))
            try Self.subscribe(harness, person)
        }
        // Nobody knows an address of carl.
        for person in ["anna", "bob", "carl"] { try harness.visit(person, "e-\(person)") }
        let stream = try TriggerClient(harness, trigger)
        #expect(stream.events == ["e-anna", "e-bob"])
        let counts = { try #require(harness.node.recovered).store.triggers.counts }
        #expect(try counts().guarded == 1)
        _ = try harness.call(
            "UpdateSubscription", Requests.subscription("anna", "unsubscribed", source: "user"))
        try harness.pass(milliseconds: 10_100)
        #expect(stream.events == ["e-anna", "e-bob", "e-bob"], "asked again at the next delivery")
        #expect(try counts().guarded == 2 && harness.pending(trigger) == 1)
    }

    @Test func erasedPersonIsNotShownToAClientThatReadsLater() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 64
        })
        let trigger = try harness.makeTrigger()
        let client = try harness.connect()
        client.setWindow(0)
        try harness.settle()
        let call = try client.open(.profiles("WatchTriggers"))
        try client.send(
            try Requests.json(#"{"project":"default","trigger_id":"\#(trigger)"}"#), on: call)
        try harness.settle()
        for number in 0 ..< 6 { try harness.visit("p\(number % 3)", "e\(number)") }
        #expect(call.messages.isEmpty)
        #expect(try harness.call("EraseProfile", Requests.person("p1")).status == 0)
        client.setWindow(65_535)
        try harness.settle()
        let events = call.responses.compactMap { $0["event"]?["event_id"]?.text }
        #expect(events == ["e0", "e2", "e3", "e5"])
    }

    @Test func firingOfAMergedProfileIsTheSurvivors() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        let visit = #"{"project":"default","identifier":{"installation_id":"phone"},"#
        _ = try harness.call("Track", visit + #""events":[{"event_id":"e1","name":"visit"}]}"#)
        _ = try harness.call("Identify", Requests.identify("anna", #""n":1"#))
        let merged = try harness.call(
            "Identify", #"{"project":"default","custom_id":"anna","installation_id":"phone"}"#)
        #expect(merged.status == 0, "\(merged.message)")
        let stream = try TriggerClient(harness, trigger)
        #expect(stream.events == ["e1"])
        let delivery = try #require(stream.deliveries.first)
        #expect(delivery["custom_id"]?.text == "anna")
        #expect(delivery["profile_id"] == merged.response?["profile"]?["profile_id"])
    }

    @Test func lostFiringsAreCountedInEachMessage() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        let store = try #require(harness.node.recovered).store
        store.triggers.limits.pendingFirings = 3
        for number in 1 ... 5 { try harness.visit("p\(number)", "e\(number)") }
        let stream = try TriggerClient(harness, trigger)
        #expect(stream.events == ["e3", "e4", "e5"])
        #expect(stream.call.responses.allSatisfy { $0["lost"]?.integer == 2 })
        try harness.visit("p6", "e6")
        #expect(stream.deliveries.last?["lost"]?.integer == 3)
        // The oldest one was lost while it was on the stream: it does not come again.
        try stream.cancel()
        #expect(try TriggerClient(harness, trigger).events == ["e4", "e5", "e6"])
    }

    @Test func drainEndsStreamsAfterALastHeartbeatAndKeepsAcknowledgements() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        try harness.visit("anna", "e1", "e2")
        let stream = try TriggerClient(harness, trigger)
        try stream.client.send(
            try Requests.json(#"{"acknowledged_firing_ids":["\#(stream.firings[0])"]}"#),
            on: stream.call)
        // Drained with the acknowledgement under way.
        for _ in 0 ..< 3 { _ = try harness.stepOne() }
        try harness.drain()
        #expect(stream.call.status == 14 && stream.call.reason == "DRAINING")
        #expect(stream.call.responses.last?["heartbeat"] == .bool(true))
        let again = try NodeHarness.serving(harness.disk)
        #expect(try TriggerClient(again, trigger).events == ["e2"])
    }

    @Test func failedLogEndsStreams() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        try harness.visit("anna", "e1")
        let stream = try TriggerClient(harness, trigger)
        harness.disk.plan(DiskFaultPlan(.inputOutput, of: .syncs, number: 1))
        try stream.acknowledgeAll()
        #expect(stream.call.status == 14 && stream.call.reason == "LOG_UNAVAILABLE")
        let later = try TriggerClient(harness, trigger)
        #expect(later.call.status == 14 && later.deliveries.isEmpty)
    }

    @Test func streamsOfANodeAreBounded() throws {
        let harness = try NodeHarness.serving(configure: { $0.triggerStreams.streamsMax = 2 })
        let trigger = try harness.makeTrigger()
        let streams = try (1 ... 3).map { number in
            try TriggerClient(harness, trigger, host: "10.0.0.\(number)")
        }
        #expect(streams.map(\.call.hasEnded) == [false, false, true])
        #expect(streams[2].call.status == 8 && streams[2].call.reason == "LIMIT_EXCEEDED")
        #expect(
            streams[2].call.failure.metadata == ["limit": "trigger_streams_max", "maximum": "2"])
        try streams[0].cancel()
        #expect(try !TriggerClient(harness, trigger, host: "10.0.0.3").call.hasEnded)
    }

    @Test func oneAddressGetsHalfOfThePlacesAndAnotherIsServed() throws {
        let harness = try NodeHarness.serving(configure: { $0.triggerStreams.streamsMax = 4 })
        let trigger = try harness.makeTrigger()
        let greedy = try (0 ..< 3).map { _ in
            try TriggerClient(harness, trigger, host: "10.0.0.1")
        }
        #expect(greedy.map(\.call.status) == [nil, nil, 8])
        #expect(greedy[2].call.reason == "LIMIT_EXCEEDED")
        #expect(
            greedy[2].call.failure.metadata
                == ["limit": "trigger_streams_per_peer_max", "maximum": "2"])
        let other = try TriggerClient(harness, trigger, host: "10.0.0.2")
        #expect(!other.call.hasEnded && other.heartbeats.count == 1)
        try greedy[0].cancel()
        #expect(try !TriggerClient(harness, trigger, host: "10.0.0.1").call.hasEnded)
    }

    /// What a client did not read for a while is looked up anew before it is sent.
    @Test func deliveriesThatWereNotSentInTimeAreEncodedAnew() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 16
        })
        let trigger = try harness.makeTrigger(#","guard_channel":"email""#)
        for person in ["anna", "bob"] {
            let native = #""native":{"email_address":"\#(person)@example.com"}"#
            _ = try harness.call(
                "Identify",
                #"{"project":"default","custom_id":"\#(person)","attributes":{\#(native)}}"#)
            try Self.subscribe(harness, person)
        }
        let client = try harness.connect()
        client.setWindow(0)
        try harness.settle()
        let call = try client.open(.profiles("WatchTriggers"))
        try client.send(
            try Requests.json(#"{"project":"default","trigger_id":"\#(trigger)"}"#), on: call)
        for person in ["anna", "bob", "anna", "bob"] { try harness.visit(person, "\(person)") }
        for person in ["anna", "bob"] { try harness.visit(person, "\(person)2") }
        _ = try harness.call(
            .profiles("AddSuppression"),
            #"{"project":"default","channel":"email","address":"anna@example.com","#
                + #""reason":"manual"}"#)
        try harness.pass(milliseconds: 5_500)
        client.setWindow(65_535)
        try harness.settle()
        let sent = call.responses.filter { $0["firing_id"] != nil }
        let events = sent.compactMap { $0["event"]?["event_id"]?.text }
        #expect(events.sorted() == ["bob", "bob2"], "the guard of now counts")
        #expect(sent.allSatisfy { $0["delivery_attempt"]?.integer == 1 })
        #expect(try #require(harness.node.recovered).store.triggers.counts.guarded == 2)
    }

    @Test func clientThatDoesNotReadHoldsNoMoreThanItsBatches() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.transport.outputBytesPerStreamMax = 256
            $0.triggerStreams.batchBytes = 1_024
        })
        let trigger = try harness.makeTrigger(#","ack_deadline_seconds":10"#)
        let client = try harness.connect()
        client.setWindow(0)
        try harness.settle()
        let slow = try client.open(.profiles("WatchTriggers"))
        try client.send(
            try Requests.json(
                #"{"project":"default","trigger_id":"\#(trigger)","in_flight_max":10000}"#),
            on: slow)
        for number in 0 ..< 40 { try harness.visit("p\(number)", "e\(number)") }
        let quick = try TriggerClient(harness, trigger)
        #expect(quick.deliveries.count > 20 && quick.deliveries.count < 40)
        try quick.acknowledgeAll()
        // What nobody read in time goes to the other stream, and is not sent to the first any more.
        try harness.pass(milliseconds: 10_600)
        try quick.acknowledgeAll()
        #expect(try harness.pending(trigger) == 0)
        client.setWindow(65_535)
        try harness.settle()
        let late = slow.responses.compactMap { $0["event"]?["event_id"]?.text }
        #expect(late.count < 10, "\(late)")
    }
}
