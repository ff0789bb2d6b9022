import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Calls through the real wire protocol to a whole node: decoder, loop, log, store, encoder.
@Suite struct NodeCallTests {
    private static func counter(_ name: String, of profile: JSONValue?) -> Int64? {
        profile?["event_counters"]?.items.first { $0["name"]?.text == name }?["count"]?.integer
    }

    @Test(arguments: TestLog.allCases)
    func identifiedPersonIsReadBackWithAttributes(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let identify = try harness.call(
            "Identify",
            Requests.identify("anna", #""plan":"gold","age":41"#)
        )
        #expect(identify.status == 0, "\(identify.message)")
        let read = try harness.call("GetProfile", Requests.person("anna"))
        let profile = read.response?["profile"]
        #expect(profile?["custom_id"]?.text == "anna")
        let plan = "\(profile?["attributes"]?["plan"] ?? .null)"
        #expect(plan.contains("gold"))
        #expect(profile?["profile_id"] == identify.response?["profile"]?["profile_id"])
        let missing = try harness.call("GetProfile", Requests.person("nobody"))
        #expect(missing.status == 5 && missing.messages.isEmpty)
    }

    @Test(arguments: TestLog.allCases)
    func trackedEventIsADuplicateTheSecondTime(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let request = Requests.track("anna", ["e1"])
        let first = try harness.call("Track", request)
        #expect(first.status == 0, "\(first.message)")
        let second = try harness.call("Track", request)
        #expect(second.response?["results"] != first.response?["results"])
        let profile = try harness.call("GetProfile", Requests.person("anna")).response?["profile"]
        #expect(Self.counter("visit", of: profile) == 1)
        #expect(harness.items.stored == 1 && harness.items.duplicate == 1)
    }

    @Test(arguments: TestLog.allCases)
    func requestIDIsReplayedAndItsReuseRejected(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let request = Requests.track("anna", ["e1"], more: #","request_id":"r1""#)
        let first = try harness.call("Track", request)
        let again = try harness.call("Track", request)
        #expect(first.status == 0 && again.response?["replayed"]?.isTrue == true)
        #expect(again.response?["lsn"] == first.response?["lsn"])
        let other = try harness.call(
            "Track",
            Requests.track("anna", ["e2"], more: #","request_id":"r1""#))
        #expect(other.status != 0 && other.reason == "REQUEST_ID_REUSED")
    }

    @Test(arguments: TestLog.allCases)
    func atomicBatchWithOneRejectedWriteChangesNothing(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        // The second write demands a profile that is not there.
        let operations =
            #"{"track":\#(Requests.track("anna", ["e1"]))},"#
            + #"{"track":\#(Requests.track("bob", ["e2"], more: #","must_exist":true"#))}"#
        let failed = try harness.call(
            "BatchWrite", #"{"project":"default","operations":[\#(operations)]}"#)
        #expect(failed.status != 0)
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 5)
        let partial = try harness.call(
            "BatchWrite",
            #"{"project":"default","best_effort":true,"operations":[\#(operations)]}"#)
        #expect(partial.status == 0, "\(partial.message)")
        #expect(partial.response?["results"]?.items.count == 2)
        #expect(partial.response?["results"]?.items.last?["error"] != nil)
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 0)
    }

    @Test(arguments: TestLog.allCases)
    func erasedPersonIsGoneAndTheNameBlocked(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let request = Requests.track("anna", ["e1"])
        #expect(try harness.call("Track", request).status == 0)
        let erased = try harness.call("EraseProfile", Requests.person("anna"))
        #expect(erased.response?["existed"]?.isTrue == true, "\(erased.message)")
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 5)
        let again = try harness.call(
            "Track", Requests.track("anna", ["e2"]))
        #expect(again.reason == "IDENTIFIER_ERASED", "\(again.message)")
    }

    @Test(arguments: TestLog.allCases)
    func optOutIsReadBackAndNotSendable(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        for state in ["subscribed", "unsubscribed"] {
            let change = try harness.call(
                "UpdateSubscription",
                Requests.subscription("anna", state, source: "user"))
            #expect(change.status == 0, "\(change.message)")
            // The next change is later, whatever the log's latency.
            try harness.pass(milliseconds: 10)
        }
        let profile = try harness.call("GetProfile", Requests.person("anna")).response?["profile"]
        let subscriptions = "\(profile?["subscriptions"] ?? .null)".lowercased()
        #expect(subscriptions.contains("unsubscribed"))
        let imported = try harness.call(
            "UpdateSubscription",
            Requests.subscription("anna", "subscribed", source: "api"))
        #expect(imported.reason == "USER_UNSUBSCRIBED", "only the person re-subscribes")
        let later = try harness.call("GetProfile", Requests.person("anna")).response?["profile"]
        #expect(later?["subscriptions"] == profile?["subscriptions"])
    }

    @Test(arguments: TestLog.allCases)
    func eventsAreListedInPagesWithoutGapOrRepetition(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        for number in 0 ..< 25 {
            let request = Requests.track("anna", ["e\(number)"])
            #expect(try harness.call("Track", request).status == 0)
            try harness.pass(milliseconds: 10)
        }
        var found: [String] = []
        var token = ""
        var pages = 0
        repeat {
            let page = try harness.call(
                "ListEvents",
                #"{"project":"default","identifier":{"custom_id":"anna"},"page_size":10,"#
                    + #""page_token":"\#(token)"}"#
            )
            #expect(page.status == 0, "\(page.message)")
            found += (page.response?["events"]?.items ?? []).compactMap {
                $0["event_id"]?.text ?? $0["event"]?["event_id"]?.text
            }
            token = page.response?["next_page_token"]?.text ?? ""
            pages += 1
        } while !token.isEmpty && pages < 10
        #expect(found == (0 ..< 25).reversed().map { "e\($0)" })
        #expect(pages == 3)
    }

    /// Every wake arrives: no component waits for its timer to notice a call.
    @Test(arguments: 0 ..< 20 as Range<UInt64>)
    func responsesComeBeforeAnyTimePasses(order: UInt64) throws {
        let harness = try NodeHarness.serving(order: order)
        let client = try harness.connect()
        for number in 0 ..< 10 {
            let call = try client.call(
                .profiles("Track"),
                try Requests.json(Requests.track("anna", ["e\(number)"])))
            try harness.settle()
            #expect(call.status == 0, "call \(number)")
        }
        let snapshot = try client.call(.admin("CreateSnapshot"), .object([]))
        try harness.settle()
        #expect(snapshot.status == 0)
    }

    @Test func nodeThatAnotherHasDeposedRejectsWritesAndServesReads() throws {
        let world = TestLog.replicated.world()
        let harness = try world.start()
        let request = Requests.track("anna", ["e1"])
        #expect(try harness.call("Track", request).status == 0)
        world.cluster?.depose()
        try harness.settle()
        let rejected = try harness.call(
            "Track", Requests.track("anna", ["e2"]))
        #expect(rejected.status == RPCFailure.unavailable && !rejected.reason.isEmpty)
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 0)
        world.lead()
        try harness.settle()
        #expect(
            try harness.call("Track", Requests.track("anna", ["e2"]))
                .status == 0)
        let changes = harness.events.filter { if case .leadership = $0 { true } else { false } }
        #expect(changes.count >= 2)
    }

    @Test func methodThatTheContractLacksIsUnimplemented() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            .healthCheck, "{}", path: "/profiles.v1.Profiles/NoSuchMethod")
        #expect(call.status == RPCFailure.unimplemented)
    }

    @Test func callsAreRejectedWithAReasonUntilTheLogIsRead() throws {
        let harness = try NodeHarness()
        let early = try harness.call("GetProfile", Requests.person("anna"))
        #expect(early.status == RPCFailure.unavailable && early.reason == "REPLAYING")
        try harness.recover()
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 5)
    }

    @Test func healthFollowsTheNodeFromItsStartToItsEnd() throws {
        let harness = try NodeHarness()
        let before = try harness.call(.healthCheck, "{}")
        #expect(before.response?["status"]?.text == "NOT_SERVING")
        let client = try harness.connect()
        let watch = try client.call(
            .healthCheck, .object([]), path: "/grpc.health.v1.Health/Watch")
        try harness.settle()
        try harness.recover()
        #expect(try harness.call(.healthCheck, "{}").response?["status"]?.text == "SERVING")
        #expect(watch.responses.compactMap { $0["status"]?.text } == ["NOT_SERVING", "SERVING"])
        try harness.drain()
        #expect(watch.responses.last?["status"]?.text == "NOT_SERVING")
        #expect(watch.hasEnded)
    }
}
