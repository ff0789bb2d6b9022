import IOSimulation
import ProfileClient
import ProfileService
import Storage
import TestSupport
import Testing

/// What a crash at any point leaves of the feed and of firings, for many seeds: the feed that a
/// start makes again continues the one that watchers have read, byte by byte.
@Suite struct NodeFeedCrashTests {
    private static func configure(_ configuration: inout NodeConfiguration) {
        configuration.log.segmentBytes = 32 << 10
        configuration.feed.blockBytes = 1_024
        configuration.feed.segmentBytesMax = 4_096
        configuration.feed.memoryBytes = 4_096
        configuration.feed.syncBytes = 2_048
        configuration.feed.unsyncedBytesMax = 32_768
    }

    /// A node that is crashed and started again, with calls of all kinds.
    private struct World {
        var harness: NodeHarness
        var random: SeededRandom
        let clock: SimulatedClock
        /// Requests with ids that were made, to be made again.
        var made: [(method: String, request: String)] = []
        var calls = 0

        init(seed: UInt64) throws {
            self.clock = SimulatedClock()
            self.random = SeededRandom(seed: seed)
            self.harness = try NodeHarness.serving(
                clock: self.clock, order: seed, configure: NodeFeedCrashTests.configure)
        }

        mutating func start(_ disk: SimulatedDisk) throws {
            self.harness = try NodeHarness.serving(
                disk, clock: self.clock, order: self.random.next(),
                configure: NodeFeedCrashTests.configure)
        }

        var feed: Feed {
            get throws { try #require(self.harness.node.recovered).feed }
        }

        var pending: [Int64] {
            get throws {
                let call = try self.harness.call("ListTriggers", #"{"project":"default"}"#)
                return call.response?["triggers"]?.items.map { $0["pending"]?.integer ?? 0 } ?? []
            }
        }

        // MARK: Calls

        private mutating func pick(_ count: Int) -> Int {
            Int.random(in: 0 ..< count, using: &self.random)
        }

        private mutating func events() -> String {
            (0 ... self.pick(3)).map { index in
                let name = ["visit", "cart", "purchase"][self.pick(3)]
                return #"{"event_id":"e\#(self.calls)-\#(index)","name":"\#(name)"}"#
            }.joined(separator: ",")
        }

        private mutating func identifier() -> String {
            self.pick(2) == 0
                ? #"{"custom_id":"p\#(self.pick(6))"}"#
                : #"{"installation_id":"d\#(self.pick(6))"}"#
        }

        private mutating func track(_ head: String) -> String {
            #"{\#(head)"identifier":\#(self.identifier()),"events":[\#(self.events())]}"#
        }

        /// The next call. Some change nothing, some are rejected, some are made again.
        mutating func next() -> (method: String, request: String) {
            self.calls += 1
            if !self.made.isEmpty, self.pick(6) == 0 {
                return self.made[self.pick(self.made.count)]
            }
            let id = self.pick(3) == 0 ? #""request_id":"r\#(self.calls)","# : ""
            let head = #""project":"default",\#(id)"#
            let call: (String, String)
            switch self.pick(12) {
            case 0, 1, 2:
                let device = self.pick(2) == 0 ? #""installation_id":"d\#(self.pick(6))","# : ""
                call = (
                    "Identify",
                    #"{\#(head)\#(device)"custom_id":"p\#(self.pick(6))","#
                        + #""attributes":{"set":{"n":\#(self.pick(4)),"l":["a\#(self.pick(4))"]}}}"#
                )
            case 3:
                call = (
                    "UpdateSubscription",
                    #"{\#(head)"identifier":\#(self.identifier()),"source":"user","changes":["#
                        + #"{"channel":"email","topic":"t","state":"subscribed"},"#
                        + #"{"channel":"sms","state":"unsubscribed"}]}"#
                )
            case 4:
                // An unknown profile: all of the batch is rolled back.
                let nobody =
                    self.pick(2) == 0
                    ? #",{"track":{"identifier":{"custom_id":"nobody"},"must_exist":true,"#
                        + #""events":[{"name":"visit"}]}}"# : ""
                call = (
                    "BatchWrite",
                    #"{\#(head)"operations":[{"track":\#(self.track(""))},"#
                        + #"{"track":\#(self.track(""))}\#(nobody)]}"#
                )
            case 5 where self.pick(3) == 0:
                call = ("EraseProfile", #"{\#(head)"identifier":\#(self.identifier())}"#)
            default: call = ("Track", self.track(head))
            }
            if !id.isEmpty { self.made.append(call) }
            return call
        }

        mutating func write(_ count: Int) throws {
            for _ in 0 ..< count {
                let (method, request) = self.next()
                let call = try self.harness.call(method, request)
                // Blocked identifiers, unknown profiles and rolled back batches are rejected.
                try #require([0, 5, 9].contains(call.status), "\(method): \(call.message)")
            }
        }

        /// Begins calls and stops the node anywhere in them.
        mutating func writeInPart() throws {
            let client = try self.harness.connect()
            for _ in 0 ..< 6 {
                let (method, request) = self.next()
                _ = try client.call(.profiles(method), try Requests.json(request))
            }
            for _ in 0 ..< self.pick(120) where try !self.harness.stepOne() { break }
        }

        mutating func crash() -> SimulatedDisk {
            self.pick(2) == 0
                ? self.harness.kill() : self.harness.cutPower(seed: self.random.next())
        }
    }

    /// The records of all frames with the lsns of each, from the beginning to the head.
    private static func records(_ feed: Feed) throws -> [[UInt8]] {
        let cursor = feed.makeCursor(from: feed.earliestLSN)
        var records: [[UInt8]] = []
        while true {
            switch cursor.next(maxBytes: 4_096) {
            case .atHead: return records
            case .frames(let slice):
                for frame in slice.frames { records.append(Array(frame.records)) }
            case .gone, .failed:
                Issue.record("the feed cannot be read")
                return records
            }
        }
    }

    @Test(arguments: 1 ... 40 as ClosedRange<UInt64>)
    func feedAndFiringsAfterAnyCrashContinueThoseBefore(seed: UInt64) throws {
        var world = try World(seed: seed)
        for trigger in [
            #"{"event_name":"visit"}"#, #"{"event_name":"cart","cap":2,"cap_period_seconds":60}"#,
            #"{"event_name":"cart","delay_seconds":3,"unless_event_name":"purchase"}"#,
        ] {
            let call = try world.harness.call(
                "CreateTrigger", #"{"project":"default","trigger":\#(trigger)}"#)
            try #require(call.status == 0, "\(call.message)")
        }
        for round in 0 ..< 4 {
            try world.write(12)
            if round % 2 == 1 {
                #expect(try world.harness.call(.admin("CreateSnapshot"), "{}").status == 0)
                try world.write(4)
            }
            if seed % 3 == 0 { try world.harness.pass(milliseconds: 1_200) }
            try world.harness.settle()
            let settled = try Self.records(try world.feed)
            let pending = try world.pending
            let isWhole = (seed + UInt64(round)) % 2 == 0
            if !isWhole { try world.writeInPart() }
            let read = try Self.records(try world.feed)
            try world.start(world.crash())

            let again = try Self.records(try world.feed)
            #expect(try world.feed.earliestLSN == 1)
            let isContinued = again.starts(with: read) && read.starts(with: settled)
            #expect(isContinued, "round \(round): \(settled.count), \(read.count), \(again.count)")
            if isWhole {
                #expect(again.count == read.count)
                // Nothing can be due in between: no time has passed.
                #expect(try world.pending == pending)
            }
            // From the log and the snapshot alone, once more.
            try world.start(world.harness.kill())
            let isEqual = try Self.records(try world.feed) == again
            #expect(isEqual, "round \(round)")
        }
        let recorded = try Self.records(try world.feed).count
        #expect(recorded > 20)
    }

    @Test func replayedAndRejectedCallsChangeNothing() throws {
        let harness = try NodeHarness.serving(configure: Self.configure)
        let feed = try #require(harness.node.recovered).feed
        func write(_ method: String, _ request: String) throws -> WireCall {
            let call = try harness.call(method, request)
            try harness.settle()
            return call
        }
        func pending() throws -> Int64? {
            try write("ListTriggers", #"{"project":"default"}"#)
                .response?["triggers"]?.items.first?["pending"]?.integer
        }
        _ = try write("CreateTrigger", #"{"project":"default","trigger":{"event_name":"visit"}}"#)
        let person = #""project":"default","request_id":"r","identifier":{"custom_id":"anna"}"#
        let event = #"{"name":"visit"}"#
        let calls = [
            ("Track", #"{\#(person),"events":[\#(event),\#(event)]}"#),
            (
                "Identify",
                #"{"project":"default","request_id":"r","custom_id":"anna","#
                    + #""attributes":{"set":{"n":1}}}"#
            ),
            (
                "UpdateSubscription",
                #"{\#(person),"source":"user","#
                    + #""changes":[{"channel":"email","state":"subscribed"}]}"#
            ),
            (
                "BatchWrite",
                #"{"project":"default","request_id":"r","operations":["#
                    + #"{"track":{"identifier":{"custom_id":"ben"},"events":[\#(event)]}}]}"#
            ),
        ]
        for (method, request) in calls {
            let first = try write(method, request)
            #expect(first.status == 0, "\(method): \(first.message)")
            let (records, count) = (try Self.records(feed), try pending())
            let second = try write(method, request)
            #expect(second.response?["replayed"]?.isTrue == true, "\(method)")
            let isEqual = try Self.records(feed) == records
            #expect(isEqual, "\(method)")
            #expect(try pending() == count, "\(method)")
        }
        let (records, count) = (try Self.records(feed), try pending())
        #expect(count == 3)
        let nobody =
            #"{"track":{"identifier":{"custom_id":"nobody"},"must_exist":true,"#
            + #""events":[\#(event)]}}"#
        let anna = #"{"track":{"identifier":{"custom_id":"anna"},"events":[\#(event)]}}"#
        let rejected = try write(
            "BatchWrite", #"{"project":"default","operations":[\#(anna),\#(nobody)]}"#)
        #expect(rejected.status == 5)
        let isEqual = try Self.records(feed) == records
        #expect(isEqual)
        #expect(try pending() == count)
        // Best effort: what succeeds is seen, and nothing else.
        _ = try write(
            "BatchWrite",
            #"{"project":"default","best_effort":true,"operations":[\#(anna),\#(nobody)]}"#)
        #expect(try Self.records(feed).count == records.count + 1)
        #expect(try pending() == 4)
    }
}
