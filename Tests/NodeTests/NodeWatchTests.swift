import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import Storage
import TestSupport
import Testing

/// Watch through the wire: positions, heartbeats, order and filters.
@Suite struct NodeWatchTests {
    private static func feed(_ harness: NodeHarness) throws -> Feed {
        try #require(harness.node.recovered).feed
    }

    private static func track(
        _ harness: NodeHarness, _ name: String, _ id: String, more: String = ""
    ) throws {
        let call = try harness.call("Track", Requests.track(name, [id], more: more))
        #expect(call.status == 0, "\(call.message)")
    }

    // MARK: Positions

    @Test func zeroIsWhatComesAfterTheCall() throws {
        let harness = try NodeHarness.serving()
        try Self.track(harness, "ann", "before")
        let watch = try OpenWatch(harness)
        #expect(watch.lsns == [try Self.feed(harness).headLSN], "a heartbeat, at once")
        try Self.track(harness, "ann", "after")
        #expect(watch.eventIDs == ["after"])
        #expect(watch.lsns.last == (try Self.feed(harness).headLSN))
    }

    /// A feed of which the beginning is gone.
    private static func cut() throws -> NodeHarness {
        let harness = try NodeHarness.serving(configure: { configuration in
            configuration.feed.blockBytes = 1_024
            configuration.feed.bytesMax = 16_384
            configuration.feed.memoryBytes = 2_048
            configuration.feed.syncBytes = 1_024
        })
        for number in 0 ..< 200 {
            try Self.track(harness, "p\(number % 7)", "e\(number)")
            if number % 20 == 0 { try harness.pass(milliseconds: 1_100) }
        }
        try harness.pass(milliseconds: 2_100)
        let feed = try Self.feed(harness)
        try #require(feed.earliestLSN > 1 && feed.earliestLSN < feed.headLSN)
        return harness
    }

    @Test func positionsThatAreKeptAndTheNextOneAreServed() throws {
        let harness = try Self.cut()
        let feed = try Self.feed(harness)
        let (earliest, head) = (feed.earliestLSN, feed.headLSN)
        for first in [earliest, head, head + 1] {
            let watch = try OpenWatch(harness, from: first)
            #expect(watch.call.status == nil && watch.heartbeats.first == first - 1)
            #expect(watch.changes.map(OpenWatch.lsn) == Array(first ..< head + 1), "\(first)")
            watch.client.close()
        }
    }

    @Test func positionsThatAreGoneOrHaveNotComeAreRejected() throws {
        let harness = try Self.cut()
        let feed = try Self.feed(harness)
        let (earliest, head) = (feed.earliestLSN, feed.headLSN)
        for first in [1, earliest - 1, head + 2, UInt64.max - 1, .max] as [UInt64] {
            let watch = try OpenWatch(harness, from: first)
            #expect(watch.end == (11, "POSITION_GONE") && watch.call.messages.isEmpty, "\(first)")
            #expect(watch.call.failure.metadata["earliest_lsn"] == "\(earliest)")
        }
        let metrics = try #require(harness.node.recovered).watchers.metrics
        #expect(metrics.positionsGone == 5 && metrics.watchers == 0)
    }

    @Test func firstPositionOfAnEmptyFeedIsItsNext() throws {
        let harness = try NodeHarness.serving()
        let head = try Self.feed(harness).headLSN
        #expect(try OpenWatch(harness, from: head + 1).heartbeats == [head])
        #expect(try OpenWatch(harness, from: head + 2).end == (11, "POSITION_GONE"))
    }

    // MARK: Heartbeats

    @Test func heartbeatComesWithinFiveSecondsOfTheLastMessage() throws {
        let harness = try NodeHarness.serving()
        let watch = try OpenWatch(harness)
        try harness.pass(milliseconds: 4_400)
        #expect(watch.lsns.count == 1)
        try harness.pass(milliseconds: 600)
        #expect(watch.heartbeats.count == 2)
        try harness.pass(milliseconds: 3_000)
        try Self.track(harness, "ann", "e1")
        let head = try Self.feed(harness).headLSN
        let count = watch.lsns.count
        try harness.pass(milliseconds: 4_400)
        #expect(watch.lsns.count == count, "the change was a message as well")
        try harness.pass(milliseconds: 600)
        #expect(watch.heartbeats.last == head && watch.lsns.count == count + 1)
        try harness.pass(milliseconds: 50_000)
        #expect(watch.lsns.count >= count + 11)
    }

    /// Of what no filter lets pass, and of other people's changes, for followers of identifiers.
    @Test(arguments: [
        #","kinds":["CHANGE_KIND_PROFILE_ERASED"]"#, #","identifiers":[{"custom_id":"eve"}]"#,
    ])
    func heartbeatComesAtTheLatestAfterSoManySkipped(filter: String) throws {
        #expect(WatchLimits().skippedMax == 10_000)
        let harness = try NodeHarness.serving(configure: { configuration in
            configuration.watch.skippedMax = 100
            configuration.watch.heartbeatNanoseconds = .max / 2
        })
        let watch = try OpenWatch(harness, filter)
        for number in 0 ..< 250 { try Self.track(harness, "ann", "e\(number)") }
        let heartbeats = watch.heartbeats
        #expect(watch.changes.isEmpty)
        #expect(heartbeats.count >= 3 && heartbeats == heartbeats.sorted())
        let gaps = zip(heartbeats.dropFirst(), heartbeats).map { $0 - $1 }
        #expect(gaps.allSatisfy { $0 <= 101 }, "\(gaps)")
        // From the past it is the same: 100 skipped, not one slice.
        let late = try OpenWatch(harness, from: 1, filter)
        let lates = late.heartbeats
        #expect(lates.first == 0 && lates.count >= 3 && lates == lates.sorted(), "\(lates)")
        #expect(zip(lates.dropFirst(), lates).allSatisfy { $0 - $1 <= 101 }, "\(lates)")
    }

    // MARK: Order

    @Test func changesOfOneLSNComeInTheOrderOfTheContract() throws {
        let harness = try NodeHarness.serving()
        let installation = "11111111-1111-4111-8111-111111111111"
        let calls = [
            (
                "Track",
                #"{"project":"default","identifier":{"installation_id":"\#(installation)"},"#
                    + #""events":[{"event_id":"a","name":"visit"}]}"#
            ),
            ("Identify", Requests.identify("ann", #""plan":"gold""#)),
            (
                "Identify",
                #"{"project":"default","custom_id":"ann","installation_id":"\#(installation)","#
                    + #""attributes":{"set":{"plan":"blue"},"#
                    + #""native":{"email_address":"ann@example.org"}}}"#
            ),
            (
                "AddSuppression",
                #"{"project":"default","channel":"email","address":"ann@example.org","#
                    + #""reason":"complaint"}"#
            ),
            ("UpdateSubscription", Requests.subscription("ann", "unsubscribed", source: "user")),
            ("Track", Requests.track("ann", ["b", "c"])),
            ("EraseProfile", Requests.person("ann")),
        ]
        let watch = try OpenWatch(harness)
        for (method, request) in calls {
            let call = try harness.call(method, request)
            #expect(call.status == 0, "\(method): \(call.message)")
        }
        let keys = watch.changes.map { change in
            (OpenWatch.lsn(change), OpenWatch.kinds.firstIndex(of: OpenWatch.kind(change)) ?? -1)
        }
        #expect(keys.allSatisfy { $0.1 >= 0 })
        #expect(zip(keys, keys.dropFirst()).allSatisfy { $0 <= $1 }, "\(keys)")
        let most = Dictionary(grouping: keys, by: \.0).values.map(\.count).max() ?? 0
        #expect(most >= 3, "a merge, a move and attributes in one: \(watch.kinds)")
        #expect(Set(watch.kinds).count >= 7, "\(watch.kinds)")
        #expect(watch.kinds.last == "PROFILE_ERASED")
    }

    // MARK: Filters

    @Test(arguments: [
        (#","kinds":["CHANGE_KIND_EVENT_STORED"]"#, ["EVENT_STORED", "EVENT_STORED"]),
        (#","event_names":["Visit"]"#, ["EVENT_STORED", "EVENT_STORED"]),
        (#","event_names":["nothing"]"#, []),
        (#","attributes":["PLAN"]"#, ["ATTRIBUTES_CHANGED"]),
        (#","channels":["CHANNEL_EMAIL"]"#, ["SUBSCRIPTION_CHANGED"]),
        (#","channels":["CHANNEL_SMS"]"#, []),
        (
            #","channels":["CHANNEL_EMAIL"],"attributes":["plan"]"#,
            ["ATTRIBUTES_CHANGED", "SUBSCRIPTION_CHANGED"]
        ),
        (
            #","kinds":["CHANGE_KIND_SUBSCRIPTION_CHANGED"],"channels":["CHANNEL_EMAIL"],"#
                + #""attributes":["plan"]"#,
            ["SUBSCRIPTION_CHANGED"]
        ),
        (#","identifiers":[{"custom_id":"bob"}]"#, ["PROFILE_CREATED", "EVENT_STORED"]),
        (
            #","kinds":["CHANGE_KIND_EVENT_STORED"],"identifiers":[{"custom_id":"ann"},"#
                + #"{"custom_id":"bob"}]"#,
            ["EVENT_STORED", "EVENT_STORED"]
        ),
        (#","identifiers":[{"custom_id":"nobody"}]"#, []),
    ])
    func filterLetsPassWhatItNames(filter: String, kinds: [String]) throws {
        let harness = try NodeHarness.serving()
        let watch = try OpenWatch(harness, filter)
        try Self.track(harness, "ann", "a")
        _ = try harness.call("Identify", Requests.identify("ann", #""plan":"gold""#))
        _ = try harness.call(
            "UpdateSubscription", Requests.subscription("ann", "unsubscribed", source: "user"))
        try Self.track(harness, "bob", "b")
        #expect(watch.kinds == kinds)
        // The same from the past.
        #expect(try OpenWatch(harness, from: 1, filter).kinds == kinds)
    }

    @Test func historicalChangesComeToThoseWhoAskForThem() throws {
        let harness = try NodeHarness.serving()
        let (plain, all) = (
            try OpenWatch(harness), try OpenWatch(harness, #","include_historical":true"#)
        )
        try Self.track(harness, "ann", "now")
        try Self.track(harness, "ann", "then", more: #","historical":true"#)
        #expect(plain.eventIDs == ["now"] && all.eventIDs == ["now", "then"])
        #expect(all.changes.last?["change"]?["historical"]?.isTrue == true)
    }

    @Test func anotherProjectsChangesNeverCome() throws {
        let harness = try NodeHarness.serving()
        #expect(try harness.call(.admin("CreateProject"), #"{"project":"them"}"#).status == 0)
        let (mine, theirs) = (
            try OpenWatch(harness), try OpenWatch(harness, project: "them")
        )
        let follower = try OpenWatch(harness, #","identifiers":[{"custom_id":"ann"}]"#)
        for project in ["default", "them", "default"] {
            let request = Requests.track("ann", ["e-\(project)"]).replacing(
                #""project":"default""#, with: #""project":"\#(project)""#)
            #expect(try harness.call("Track", request).status == 0)
        }
        #expect(mine.eventIDs == ["e-default"] && theirs.eventIDs == ["e-them"])
        #expect(follower.eventIDs == ["e-default"])
        let unknown = try OpenWatch(harness, project: "nobody")
        #expect(unknown.end == (5, "PROJECT_NOT_FOUND"))
    }
}
