import ProfileClient
import ProfileService
import TestSupport
import Testing

/// The project and its options through the wire.
@Suite struct NodeProjectTests {
    @Test(arguments: TestLog.allCases)
    func changedOptionsAreShownAndSurviveAStart(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let updated = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"event_retention_days":7,"#
                + #""merge_policy":"latest_wins"}}"#)
        #expect(updated.response?["options"]?["event_retention_days"]?.integer == 7)
        let read = try harness.call(.admin("GetProject"), #"{"project":"default"}"#)
        #expect(read.response?["options"] == updated.response?["options"])
        #expect(read.response?["options"]?["merge_policy"]?.text == "MERGE_POLICY_LATEST_WINS")
        let limits = "\(read.response?["limits"] ?? .null)"
        #expect(limits.contains("events_per_profile_max"))
        let again = try world.start(harness.kill())
        let list = try again.call(.admin("ListProjects"), "{}")
        #expect(list.response?["projects"]?.items.map { $0["project"]?.text } == ["default"])
        #expect(
            list.response?["projects"]?.items.first?["options"] == updated.response?["options"])
    }

    @Test func anUpdateMaskChangesWhatItNames() throws {
        let harness = try NodeHarness.serving()
        func update(_ options: String, _ mask: String) throws -> JSONValue? {
            let call = try harness.call(
                .admin("UpdateProject"),
                #"{"project":"default","options":{\#(options)},"update_mask":"\#(mask)"}"#)
            #expect(call.status == 0, "\(call.message)")
            return call.response?["options"]
        }
        let first = try update(
            #""event_retention_days":7,"merge_policy":"latest_wins""#, "event_retention_days")
        #expect(first?["event_retention_days"]?.integer == 7)
        #expect(first?["merge_policy"]?.text == "MERGE_POLICY_SURVIVOR_WINS")
        let second = try update(
            #""late_window_seconds":60"#, "late_window_seconds,options.merge_policy")
        #expect(second?["event_retention_days"]?.integer == 7)
        #expect(second?["late_window_seconds"]?.integer == 60)
        // Named, and absent from the options: the default.
        #expect(try update("", "event_retention_days")?["event_retention_days"]?.integer == 90)
    }

    /// Valid by itself and beside what the request names; wrong beside what the project has.
    @Test func aLateWindowBeyondTheProjectsRetentionIsNamed() throws {
        let harness = try NodeHarness.serving()
        let retention = #"{"project":"default","options":{"event_retention_days":2}}"#
        #expect(try harness.call(.admin("UpdateProject"), retention).status == 0)
        let call = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"late_window_seconds":200000},"#
                + #""update_mask":"late_window_seconds"}"#)
        #expect(call.status == 3)
        #expect(call.failure.violations.map(\.field) == ["options.late_window_seconds"])
    }

    // MARK: Many projects

    private static func create(_ name: String, _ options: String = "") -> String {
        #"{"project":"\#(name)","options":{\#(options)}}"#
    }

    private static func named(_ name: String, _ more: String = "") -> String {
        #"{"project":"\#(name)"\#(more)}"#
    }

    /// A Track of one event of one person in some project.
    private static func track(_ project: String, _ eventID: String) -> String {
        #"{"project":"\#(project)","identifier":{"custom_id":"anna"},"#
            + #""events":[{"event_id":"\#(eventID)","name":"visit"}]}"#
    }

    @Test(arguments: TestLog.allCases)
    func aProjectIsMadeOnceAndSurvivesAStart(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let made = try harness.call(.admin("CreateProject"), Self.create("shop"))
        #expect(made.status == 0 && made.response?["revision"]?.integer == 1)
        #expect(made.response?["created_at"] != nil && made.response?["delete_due"] == nil)
        let again = try harness.call(.admin("CreateProject"), Self.create("shop"))
        #expect(again.response == made.response)
        let other = try harness.call(
            .admin("CreateProject"), Self.create("shop", #""event_retention_days":7"#))
        #expect(other.status == 6 && other.reason == "PROJECT_EXISTS")
        #expect(try harness.call("Track", Self.track("shop", "e1")).status == 0)
        let next = try world.start(harness.kill())
        let read = try next.call(.admin("GetProject"), Self.named("shop"))
        #expect(read.response == made.response)
        let missing = try next.call("GetProfile", Requests.person("anna"))
        #expect(missing.reason == "PROFILE_NOT_FOUND")
    }

    @Test func pagesOfProjectsGoByNameAndTokensAreOfThisListing() throws {
        let harness = try NodeHarness.serving()
        for name in ["b", "a-2", "a_1", "zoo", "a"] {
            #expect(try harness.call(.admin("CreateProject"), Self.create(name)).status == 0)
        }
        var names: [String] = []
        var token = ""
        repeat {
            let page = try harness.call(
                .admin("ListProjects"), #"{"page_size":2,"page_token":"\#(token)"}"#)
            names += (page.response?["projects"]?.items ?? []).compactMap { $0["project"]?.text }
            token = page.response?["next_page_token"]?.text ?? ""
            // Before the position of the next page, and behind it.
            if names.count == 2 {
                for name in ["0", "c"] {
                    #expect(
                        try harness.call(.admin("CreateProject"), Self.create(name)).status == 0)
                }
            }
        } while !token.isEmpty
        #expect(names == ["a", "a-2", "a_1", "b", "c", "default", "zoo"])
        #expect(try harness.call("Track", Requests.track("anna", ["e1", "e2"])).status == 0)
        let events = try harness.call(
            "ListEvents",
            #"{"project":"default","identifier":{"custom_id":"anna"},"page_size":1}"#)
        let foreign = try #require(events.response?["next_page_token"]?.text)
        for token in [foreign, "x", String(foreign.dropLast()) + "A"] {
            let call = try harness.call(.admin("ListProjects"), #"{"page_token":"\#(token)"}"#)
            #expect(call.failure.violations.map(\.field) == ["page_token"])
        }
    }

    @Test func aDeletedProjectIsOutOfReachUntilItsDeletionIsUndone() throws {
        let harness = try NodeHarness.serving(configure: { $0.projectDeleteSeconds = 60 })
        #expect(try harness.call(.admin("CreateProject"), Self.create("shop")).status == 0)
        #expect(try harness.call("Track", Self.track("shop", "e1")).status == 0)
        let deleted = try harness.call(.admin("DeleteProject"), Self.named("shop"))
        #expect(deleted.response?["delete_due"] != nil)
        for (method, request) in [
            (RPCMethod.profiles("Track"), Self.track("shop", "e2")),
            (.profiles("GetProfile"), Self.named("shop", #","identifier":{"custom_id":"anna"}"#)),
            (.admin("GetStats"), Self.named("shop")),
            (.admin("UpdateProject"), Self.create("shop")),
            (.admin("ListKeys"), Self.named("shop")),
            (.admin("CreateProject"), Self.create("shop")),
        ] {
            let call = try harness.call(method, request)
            #expect(call.status == 9 && call.reason == "PROJECT_DELETED", "\(method.path)")
        }
        let shown = try harness.call(.admin("GetProject"), Self.named("shop"))
        #expect(shown.response?["delete_due"] == deleted.response?["delete_due"])
        // Twice is once.
        let again = try harness.call(.admin("DeleteProject"), Self.named("shop"))
        #expect(again.response == deleted.response)
        let undone = try harness.call(
            .admin("DeleteProject"), Self.named("shop", #","undo":true"#))
        #expect(undone.status == 0 && undone.response?["delete_due"] == nil)
        let duplicate = try harness.call("Track", Self.track("shop", "e1"))
        #expect(
            duplicate.response?["results"]?.items.first?["status"]?.text
                == "EVENT_STATUS_DUPLICATE")
        // Once more, and now to its end.
        let last = try harness.call(.admin("DeleteProject"), Self.named("shop"))
        #expect(last.status == 0)
        try harness.pass(milliseconds: 65_000)
        let retried = try harness.call(.admin("DeleteProject"), Self.named("shop"))
        #expect(retried.status == 0 && retried.response == last.response)
        let late = try harness.call(.admin("DeleteProject"), Self.named("shop", #","undo":true"#))
        #expect(late.reason == "PROJECT_DELETED")
        #expect(harness.node.recovered?.store.profileCount == 0)
    }

    @Test func aServerHasItsNumberOfProjects() throws {
        let harness = try NodeHarness.serving(configure: { $0.store.projectsMax = 2 })
        #expect(try harness.call(.admin("CreateProject"), Self.create("one")).status == 0)
        let over = try harness.call(.admin("CreateProject"), Self.create("two"))
        #expect(over.status == 8)
        #expect(over.failure.metadata == ["limit": "projects_max", "maximum": "2"])
    }

    // MARK: The accounting

    @Test func itemsCountForTheProjectThatTheirRequestNames() throws {
        let harness = try NodeHarness.serving()
        for name in ["one", "two"] {
            #expect(try harness.call(.admin("CreateProject"), Self.create(name)).status == 0)
        }
        for (project, eventID) in [("one", "e1"), ("two", "e1"), ("one", "e1"), ("nope", "e1")] {
            _ = try harness.call("Track", Self.track(project, eventID))
        }
        // Two events, of which the codec rejects one and so both.
        _ = try harness.call(
            "Track",
            #"{"project":"two","identifier":{"custom_id":"anna"},"#
                + #""events":[{"name":"visit"},{"name":"not a name"}]}"#)
        func figures(_ project: String) throws -> [Int64] {
            let response = try harness.call(.admin("GetStats"), Self.named(project)).response
            return ["received", "stored", "duplicate", "stale", "rejected", "profiles", "events"]
                .map { response?[$0]?.integer ?? 0 }
        }
        #expect(try figures("one") == [2, 1, 1, 0, 0, 1, 1])
        #expect(try figures("two") == [3, 1, 0, 0, 2, 1, 1])
        #expect(try figures("default") == Array(repeating: 0, count: 7))
        let store = try #require(harness.node.recovered?.store)
        let shown = harness.node.accounting.figures(of: store)
        #expect(shown.series.map(\.project) == ["one", "two", ItemAccounting.others])
        #expect(shown.series.map(\.items.received) == [2, 3, 1])
        #expect(shown.total.received == 6 && shown.total.rejected == 3)
    }

    /// Calls of many projects in one frame.
    @Test func projectsOfOneBatchAreCountedApart() throws {
        let harness = try NodeHarness.serving()
        for name in ["one", "two"] {
            #expect(try harness.call(.admin("CreateProject"), Self.create(name)).status == 0)
        }
        let client = try harness.connect()
        let calls = try (0 ..< 30).map { number in
            try client.call(
                .profiles("Track"),
                try Requests.json(Self.track(number % 3 == 0 ? "one" : "two", "e\(number)")))
        }
        try harness.wait(for: "all") { calls.allSatisfy(\.hasEnded) }
        for (name, count) in [("one", 10), ("two", 20)] as [(String, Int64)] {
            let response = try harness.call(.admin("GetStats"), Self.named(name)).response
            #expect(response?["stored"]?.integer == count)
        }
    }

    @Test func optionsBeyondTheDirectorysLimitsAreInvalid() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"event_retention_days":1000000}}"#)
        #expect(call.status == 3)
        #expect(call.failure.violations.map(\.field) == ["options.event_retention_days"])
    }

    /// A client learns whether it may retry without a request id.
    @Test func deposedNodeSaysThatItDoesNotLead() throws {
        let world = TestLog.replicated.world()
        let harness = try world.start()
        #expect(try harness.call("Track", Requests.track("anna", ["e1"])).status == 0)
        world.cluster?.depose()
        try harness.settle()
        let rejected = try harness.call("Track", Requests.track("anna", ["e2"]))
        #expect(rejected.status == RPCFailure.unavailable)
        #expect(rejected.reason == "NOT_LEADER", "\(rejected.message)")
    }
}
