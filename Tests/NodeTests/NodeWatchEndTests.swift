import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import Storage
import TestSupport
import Testing

/// Watch through the wire: readers that do not read, people who are erased, and every end.
@Suite struct NodeWatchEndTests {
    /// What a client's stream holds back: RFC 9113, section 6.9.2.
    private static let windowBytes = 65_535
    private static let outputBytes = 1_024
    /// Of the event of each Track: three texts, each less than the longest that there may be.
    private static let attributeBytes = 3 * 290

    private static let `operator` = Keys.text(1)

    private static func watchers(_ harness: NodeHarness) throws -> WatchCoordinator {
        try #require(harness.node.recovered).watchers
    }

    private static func track(_ harness: NodeHarness, _ name: String, _ id: String) throws {
        let text = String(repeating: "x", count: Self.attributeBytes / 3)
        let request =
            #"{"project":"default","identifier":{"custom_id":"\#(name)"},"events":[{"event_id":"#
            + #""\#(id)","name":"visit","attributes":{"a":"\#(text)","b":"\#(text)","#
            + #""c":"\#(text)"}}]}"#
        let call = try harness.call("Track", request)
        #expect(call.status == 0, "\(call.message)")
    }

    private static func lag(_ harness: NodeHarness) throws -> WatchLag {
        let recovered = try #require(harness.node.recovered)
        return recovered.watchers.metrics.lag(
            in: recovered.feed, wallMicroseconds: harness.clock.wallMicroseconds())
    }

    // MARK: Slow readers

    private static func small(_ configuration: inout NodeConfiguration) {
        configuration.transport.outputBytesPerStreamMax = Self.outputBytes
        configuration.watch.batchBytes = 4_096
    }

    @Test func readerThatDoesNotReadHoldsUpNobodyAndMissesNothing() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        let (slow, fast) = (try OpenWatch(harness), try OpenWatch(harness))
        slow.client.isReading = false
        for number in 0 ..< 150 { try Self.track(harness, "ann", "e\(number)") }
        let ids = (0 ..< 150).map { "e\($0)" }
        #expect(fast.eventIDs == ids)
        #expect(slow.call.status == nil && slow.eventIDs.isEmpty)
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.eventIDs == ids, "in order, from where it was")
    }

    @Test func lagIsThatOfTheSlowestReaderAndNothingWhileAllIsRead() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        #expect(try Self.lag(harness) == WatchLag(), "nobody watches")
        let (slow, _) = (try OpenWatch(harness), try OpenWatch(harness))
        let metrics = try Self.watchers(harness).metrics
        #expect(metrics.watchers == 2)
        try Self.track(harness, "ann", "e")
        try harness.pass(milliseconds: 60_000)
        #expect(try Self.lag(harness) == WatchLag(), "an idle hour is no lag")
        slow.client.isReading = false
        for number in 0 ..< 150 { try Self.track(harness, "ann", "e\(number)") }
        let before = try Self.lag(harness)
        #expect(before.lsns > 20 && before.lsns < 150 && before.microseconds == 0)
        try harness.pass(milliseconds: 3_000)
        let after = try Self.lag(harness)
        // The times of 150 calls at one time ascend by a microsecond each.
        #expect(after.lsns == before.lsns && abs(after.microseconds - 3_000_000) < 200, "\(after)")
        slow.client.isReading = true
        try harness.settle()
        #expect(try Self.lag(harness) == WatchLag())
        #expect(metrics.changes == 2 * 152)
        slow.client.close()
        try harness.settle()
        #expect(metrics.watchers == 1)
    }

    @Test func readerWhosePositionIsGoneEndsBehindWhatItWasSent() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            Self.small(&configuration)
            configuration.feed.blockBytes = 4_096
            configuration.feed.bytesMax = 64 << 10
            configuration.feed.memoryBytes = 8_192
            configuration.feed.syncBytes = 4_096
        })
        let slow = try OpenWatch(harness)
        slow.client.isReading = false
        for number in 0 ..< 400 {
            try Self.track(harness, "p\(number % 3)", "e\(number)")
            if number % 20 == 0 { try harness.pass(milliseconds: 1_100) }
        }
        try harness.pass(milliseconds: 2_100)
        let recovered = try #require(harness.node.recovered)
        #expect(recovered.feed.earliestLSN > 200)
        #expect(recovered.watchers.metrics.watchers == 1 && slow.call.status == nil)
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.end == (11, "POSITION_GONE"))
        #expect(
            slow.call.failure.metadata["earliest_lsn"] == "\(recovered.feed.earliestLSN)")
        let ids = slow.eventIDs
        #expect(ids.count > 50 && ids.count < 200)
        #expect(ids == (0 ..< ids.count).map { "e\($0)" }, "without a gap")
        #expect(slow.heartbeats.last == slow.changes.last.map(OpenWatch.lsn))
        #expect(recovered.watchers.metrics.positionsGone == 1, "it is counted once")
        #expect(recovered.watchers.metrics.watchers == 0)
        // Resumed where it ended, it is told the same; from the earliest position it goes on.
        let again = try OpenWatch(harness, from: slow.lsns.last.map { $0 + 1 } ?? 0)
        #expect(again.end == (11, "POSITION_GONE"))
        let rest = try OpenWatch(harness, from: recovered.feed.earliestLSN)
        #expect(rest.eventIDs.last == "e399")
    }

    // MARK: Erased people

    @Test func erasedPersonIsNotShownAlsoIfItWasEncodedBefore() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            configuration.transport.outputBytesPerStreamMax = Self.outputBytes
            configuration.watch.batchBytes = 32 << 10
        })
        let (watch, early) = (try OpenWatch(harness), try OpenWatch(harness))
        watch.client.isReading = false
        for number in 0 ..< 200 { try Self.track(harness, "ann", "a\(number)") }
        try Self.track(harness, "bob", "b")
        #expect(early.eventIDs.count == 201)
        #expect(try harness.call("EraseProfile", Requests.person("ann")).status == 0)
        watch.client.isReading = true
        try harness.settle()
        // What had left for the client by then; batches of 32 KiB each waited behind it.
        let most = (Self.windowBytes + Self.outputBytes) / Self.attributeBytes + 1
        let ids = watch.eventIDs
        #expect(ids.count <= most + 1 && ids.last == "b", "\(ids.count) of \(most)")
        #expect(watch.kinds.last == "PROFILE_ERASED" && early.kinds.last == "PROFILE_ERASED")
        // The erasure names the profile only.
        let erased = watch.changes.last?["change"]
        #expect(erased?["profile_id"]?.text?.count == 26 && erased?["custom_id"] == nil)
        let late = try OpenWatch(harness, from: 1)
        #expect(late.eventIDs == ["b"])
        #expect(late.kinds == ["PROFILE_CREATED", "EVENT_STORED", "PROFILE_ERASED"])
    }

    @Test func erasedPersonIsNotShownAfterAStart() throws {
        let harness = try NodeHarness.serving()
        for name in ["ann", "bob"] { try Self.track(harness, name, name) }
        #expect(try harness.call("EraseProfile", Requests.person("ann")).status == 0)
        let again = try NodeHarness.serving(harness.kill())
        #expect(try OpenWatch(again, from: 1).eventIDs == ["bob"])
    }

    // MARK: Ends

    @Test func drainEndsAWatchBehindALastHeartbeat() throws {
        let harness = try NodeHarness.serving()
        let watches = [
            try OpenWatch(harness),
            try OpenWatch(harness, #","identifiers":[{"custom_id":"nobody"}]"#),
        ]
        try Self.track(harness, "ann", "e1")
        let head = try #require(harness.node.recovered).feed.headLSN
        try harness.drain()
        for watch in watches {
            #expect(watch.end == (14, "DRAINING"))
            #expect(watch.heartbeats.last == head && watch.lsns.last == head)
        }
        #expect(watches[0].eventIDs == ["e1"] && watches[1].changes.isEmpty)
    }

    @Test func deletedProjectEndsItsWatches() throws {
        let harness = try NodeHarness.serving()
        #expect(try harness.call(.admin("CreateProject"), #"{"project":"them"}"#).status == 0)
        let theirs = [
            try OpenWatch(harness, project: "them"),
            try OpenWatch(harness, #","identifiers":[{"custom_id":"ann"}]"#, project: "them"),
        ]
        let mine = try OpenWatch(harness)
        #expect(try harness.call(.admin("DeleteProject"), #"{"project":"them"}"#).status == 0)
        try harness.pass(milliseconds: 600)
        for watch in theirs {
            #expect(watch.end == (9, "PROJECT_DELETED"), "\(watch.call.message)")
            #expect(watch.heartbeats.count == 2)
        }
        try Self.track(harness, "ann", "e1")
        #expect(mine.eventIDs == ["e1"] && mine.call.status == nil)
        #expect(try Self.watchers(harness).metrics.watchers == 1)
    }

    @Test func revokedKeyEndsItsWatch() throws {
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]))
        let made = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_READ"]}"#,
            key: Self.operator)
        let key = try #require(made.response?["key"]?.text)
        let watch = try OpenWatch(harness, key: key)
        let kept = try OpenWatch(harness, key: Self.operator)
        #expect(watch.heartbeats.count == 1 && watch.call.status == nil)
        let id = try #require(made.response?["key_id"]?.text)
        let revoke = #"{"project":"default","key_id":"\#(id)"}"#
        #expect(try harness.call(.admin("RevokeKey"), revoke, key: Self.operator).status == 0)
        try harness.pass(milliseconds: 1_000)
        #expect(watch.end == (16, "KEY_INVALID") && kept.call.status == nil)
        #expect(try Self.watchers(harness).metrics.watchers == 1, "and the worker forgets it")
    }

    @Test func keyWithoutTheScopeIsRejected() throws {
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]))
        let made = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_WRITE","SCOPE_ADMIN"]}"#,
            key: Self.operator)
        let watch = try OpenWatch(harness, key: try #require(made.response?["key"]?.text))
        #expect(watch.end == (7, "SCOPE_MISSING") && watch.call.messages.isEmpty)
    }

    @Test func oneMoreThanTheMaximumIsRejectedUntilOneEnds() throws {
        let harness = try NodeHarness.serving(configure: { $0.watch.watchersMax = 3 })
        let open = [
            try OpenWatch(harness, host: "10.0.0.1"), try OpenWatch(harness, host: "10.0.0.2"),
            try OpenWatch(harness, #","identifiers":[{"custom_id":"ann"}]"#, host: "10.0.0.3"),
        ]
        let over = try OpenWatch(harness, host: "10.0.0.4")
        #expect(over.end == (8, "LIMIT_EXCEEDED"))
        #expect(over.call.failure.metadata == ["limit": "watchers_max", "maximum": "3"])
        // One that is rejected for its position takes none.
        for index in [1, 2] {
            open[index].client.close()
            try harness.settle()
            let host = "10.0.0.\(index + 1)"
            let gone = try OpenWatch(harness, from: .max, host: host)
            #expect(gone.end == (11, "POSITION_GONE"))
            #expect(try OpenWatch(harness, host: host).call.status == nil)
            #expect(try OpenWatch(harness, host: "10.0.0.4").end == (8, "LIMIT_EXCEEDED"))
        }
        #expect(open[0].call.status == nil)
    }

    @Test func oneAddressGetsHalfOfThePlacesAndAnotherIsServed() throws {
        let harness = try NodeHarness.serving(configure: { $0.watch.watchersMax = 4 })
        let greedy = try (0 ..< 3).map { _ in try OpenWatch(harness, host: "10.0.0.1") }
        #expect(greedy.map { $0.call.status } == [nil, nil, 8])
        #expect(greedy[2].call.reason == "LIMIT_EXCEEDED")
        #expect(
            greedy[2].call.failure.metadata
                == ["limit": "watchers_per_peer_max", "maximum": "2"])
        let other = try OpenWatch(harness, host: "10.0.0.2")
        #expect(other.call.status == nil && other.heartbeats.count == 1)
    }

    /// What ends a call that has a place.
    enum End: CaseIterable {
        case cancellation, lostConnection, revokedKey
    }

    @Test(arguments: End.allCases)
    func placeIsFreeOnceAfterTheEnd(end: End) throws {
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]),
            configure: { $0.watch.watchersMax = 1 })
        let made = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_READ"]}"#,
            key: Self.operator)
        let watch = try OpenWatch(harness, key: try #require(made.response?["key"]?.text))
        #expect(watch.call.status == nil)
        #expect(try OpenWatch(harness, key: Self.operator).end == (8, "LIMIT_EXCEEDED"))
        switch end {
        case .cancellation: watch.client.cancel(watch.call)
        case .lostConnection: watch.client.close()
        case .revokedKey:
            let id = try #require(made.response?["key_id"]?.text)
            let revoke = #"{"project":"default","key_id":"\#(id)"}"#
            #expect(try harness.call(.admin("RevokeKey"), revoke, key: Self.operator).status == 0)
        }
        try harness.pass(milliseconds: 1_000)
        #expect(try OpenWatch(harness, key: Self.operator).call.status == nil)
        #expect(try OpenWatch(harness, key: Self.operator).end == (8, "LIMIT_EXCEEDED"))
    }
}
