import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Counts and lists through the wire: what they find, and how they end.
@Suite struct NodeScanTests {
    /// As many comparisons as a filter may have, so that few profiles take several slices.
    private static let slow = NodeScanTests.everybody(20)

    /// A filter of so many pairs of comparisons, one of which always holds.
    private static func everybody(_ pairs: Int) -> String {
        (0 ..< pairs).map { _ in "(n >= 0 OR n < 0)" }.joined(separator: " ")
    }

    /// People `p0`, `p1` and so on with the attributes `n` and `even`.
    private static func enter(_ count: Int, _ harness: NodeHarness, project: String = "default")
        throws
    {
        for start in stride(from: 0, to: count, by: 100) {
            let operations = (start ..< min(start + 100, count)).map { number in
                #"{"identify":{"custom_id":"p\#(number)","attributes":{"set":{"n":\#(number),"#
                    + #""even":\#(number % 2 == 0)}}}}"#
            }
            let call = try harness.call(
                "BatchWrite",
                #"{"project":"\#(project)","operations":[\#(operations.joined(separator: ","))]}"#)
            #expect(call.status == 0, "\(call.message)")
        }
    }

    private static func request(_ filter: String, more: String = "", project: String = "default")
        throws -> JSONValue
    {
        var members: [(String, JSONValue?)] = [
            ("project", .string(project)), ("filter", .string(filter)),
        ]
        for member in try JSONParser.parse("{\(more)}".utf8).members {
            members.append((member.name, member.value))
        }
        return .object(of: members)
    }

    private static func count(_ harness: NodeHarness, _ filter: String) throws -> WireCall {
        try harness.call("CountProfiles", "\(try Self.request(filter))")
    }

    private static func list(_ harness: NodeHarness, _ filter: String, more: String = "") throws
        -> WireCall
    {
        try harness.call("ListProfiles", "\(try Self.request(filter, more: more))")
    }

    /// The custom IDs of all pages, and how many pages there were.
    private static func pages(_ harness: NodeHarness, _ filter: String, size: Int) throws -> (
        names: [String], count: Int
    ) {
        var (names, count, token): ([String], Int, String) = ([], 0, "")
        repeat {
            let page = try Self.list(
                harness, filter, more: #""page_size":\#(size),"page_token":"\#(token)""#)
            #expect(page.status == 0, "\(page.message)")
            let found = page.response?["profiles"]?.items ?? []
            #expect(found.count <= size)
            names += found.compactMap { $0["custom_id"]?.text }
            count += 1
            token = page.response?["next_page_token"]?.text ?? ""
        } while !token.isEmpty
        return (names, count)
    }

    @Test(arguments: TestLog.allCases)
    func countAndListFindWhomTheFilterTakes(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        try Self.enter(50, harness)
        let table: [(String, Int)] = [
            ("even = true", 25), ("n < 10", 10), ("", 50), ("custom_id = p7", 1), ("n > 100", 0),
        ]
        for (filter, expected) in table {
            let call = try Self.count(harness, filter)
            #expect(call.status == 0, "\(call.message)")
            #expect(call.response?["count"]?.integer ?? 0 == Int64(expected), "\(filter)")
            #expect(call.response?["lsn"]?.integer ?? 0 >= 50)
            let pages = try Self.pages(harness, filter, size: 7)
            #expect(pages.names.count == expected && Set(pages.names).count == expected)
        }
    }

    @Test func lastPageThatIsFullHasNoToken() throws {
        let harness = try NodeHarness.serving()
        try Self.enter(30, harness)
        #expect(try Self.pages(harness, "n < 14", size: 7).count == 2)
        #expect(try Self.pages(harness, "n < 15", size: 7).count == 3)
        let page = try Self.list(harness, "")
        #expect(page.response?["profiles"]?.items.count == 30)
        #expect(page.response?["next_page_token"] == nil)
    }

    @Test func readMaskChoosesTheFieldsOfAPage() throws {
        let harness = try NodeHarness.serving()
        try Self.enter(1, harness)
        let page = try Self.list(harness, "", more: #""read_mask":"custom_id,revision""#)
        let names = page.response?["profiles"]?.items.first?.members.map(\.name)
        #expect(names == ["custom_id", "revision"])
    }

    @Test func wrongRequestsAreRejectedWithWhatIsWrong() throws {
        let harness = try NodeHarness.serving()
        try Self.enter(10, harness)
        let large = try Self.list(harness, "", more: #""page_size":1001"#)
        #expect(large.status == 3 && large.reason == "INVALID_FIELDS", "\(large.message)")
        for filter in ["n <", "event.amount > 3", "state < IDENTIFIED"] {
            for call in [try Self.count(harness, filter), try Self.list(harness, filter)] {
                #expect(call.status == 3 && call.reason == "FILTER_INVALID", "\(call.message)")
            }
        }
        let page = try Self.list(harness, "n >= 0", more: #""page_size":3"#)
        let token = try #require(page.response?["next_page_token"]?.text)
        for filter in ["n > 0", ""] {
            let call = try Self.list(harness, filter, more: #""page_token":"\#(token)""#)
            #expect(call.status == 3 && call.reason == "INVALID_FIELDS", "\(call.message)")
        }
        let again = try Self.list(harness, "n >= 0", more: #""page_token":"\#(token)""#)
        #expect(again.response?["profiles"]?.items.count == 7)
    }

    /// A relative time is that of the first page on all of them.
    @Test func relativeTimesStayThoseOfTheFirstPage() throws {
        let harness = try NodeHarness.serving()
        try Self.enter(10, harness)
        let filter = #"created_at > "-10s""#
        let page = try Self.list(harness, filter, more: #""page_size":3"#)
        let token = try #require(page.response?["next_page_token"]?.text)
        try harness.pass(milliseconds: 20_000)
        let rest = try Self.list(harness, filter, more: #""page_token":"\#(token)""#)
        #expect(rest.response?["profiles"]?.items.count == 7)
        #expect(try Self.list(harness, filter).response?["profiles"]?.items.isEmpty ?? true)
    }

    // MARK: Turns and ends

    /// A count that takes several slices, and has begun.
    private struct Begun {
        let harness: NodeHarness
        let client: WireClient
        let call: WireCall

        init(
            timeout: String? = nil, project: String = "default", people: Int = 1_500,
            order: UInt64? = nil, configure: (inout NodeConfiguration) -> Void = { _ in }
        ) throws {
            self.harness = try NodeHarness.serving(order: order, configure: configure)
            if project != "default" {
                _ = try self.harness.call(
                    .admin("CreateProject"), #"{"project":"\#(project)"}"#)
            }
            try NodeScanTests.enter(people, self.harness, project: project)
            self.client = try self.harness.connect()
            try self.harness.settle()
            self.call = try self.client.open(
                .profiles("CountProfiles"),
                metadata: timeout.map { [("grpc-timeout", $0)] } ?? [])
            try self.client.send(
                try NodeScanTests.request(NodeScanTests.slow, project: project), on: self.call)
            self.client.finishRequests(of: self.call)
            let scans = try self.scans
            for _ in 0 ..< 1_000 where scans.metrics.work == 0 { _ = try self.harness.stepOne() }
            try #require(scans.metrics.work > 0 && scans.scans == 1 && !self.call.hasEnded)
        }

        var scans: ScanCoordinator {
            get throws { try #require(self.harness.node.recovered).scans }
        }

        /// Waits for the end of the call, and expects that nothing is left of it.
        func expectEnd(_ status: Int32?, _ reason: String = "") throws {
            try self.harness.wait(for: "the end") { self.call.hasEnded }
            try self.harness.settle()
            #expect(self.call.status == status, "\(self.call.message)")
            if !reason.isEmpty { #expect(self.call.reason == reason) }
            #expect(try self.scans.scans == 0)
        }
    }

    @Test func countOfSeveralSlicesLetsOtherCallsHaveTheirTurn() throws {
        let begun = try Begun()
        let other = try begun.harness.connect()
        let read = try other.call(
            .profiles("GetProfile"), try Requests.json(Requests.person("p1")))
        let write = try other.call(
            .profiles("Track"), try Requests.json(Requests.track("new", ["e"])))
        while !read.hasEnded {
            _ = (other.turn(), begun.client.turn())
            _ = try begun.harness.stepOne()
        }
        #expect(read.status == 0 && !begun.call.hasEnded)
        try begun.harness.wait(for: "the write") { write.hasEnded }
        #expect(write.status == 0)
        try begun.expectEnd(0)
        #expect(begun.call.response?["count"]?.integer == 1_500)
    }

    @Test func cancelledCountStops() throws {
        let begun = try Begun()
        begun.client.cancel(begun.call)
        try begun.expectEnd(nil)
        let work = try begun.scans.metrics.work
        try begun.harness.pass(milliseconds: 100)
        #expect(try begun.scans.metrics.work == work)
    }

    @Test func countStopsAtItsDeadline() throws {
        let begun = try Begun(timeout: "1S")
        begun.harness.clock.advance(nanoseconds: 2_000_000_000)
        try begun.expectEnd(4)
    }

    @Test func drainLetsACountEnd() throws {
        let begun = try Begun(order: 1)
        try begun.harness.drain()
        #expect(begun.call.status == 0, "\(begun.call.message)")
        #expect(begun.call.response?["count"]?.integer == 1_500)
    }

    @Test func deletedProjectEndsItsCounts() throws {
        // In one of these orders the log has its turn between two slices.
        for order in UInt64(1) ... 20 {
            let begun = try Begun(project: "them", people: 6_000, order: order)
            let other = try begun.harness.connect()
            let deletion = try other.call(
                .admin("DeleteProject"), try Requests.json(#"{"project":"them"}"#))
            for _ in 0 ..< 200_000 where !deletion.hasEnded {
                _ = (other.turn(), begun.client.turn())
                _ = try begun.harness.stepOne()
            }
            #expect(deletion.status == 0)
            guard try begun.scans.metrics.ended == 0 else { continue }
            return try begun.expectEnd(9, "PROJECT_DELETED")
        }
        Issue.record("each count ended before its project was deleted")
    }

    @Test func moreScansThanMayWaitAreRejected() throws {
        let begun = try Begun {
            $0.scans.scansAtOnceMax = 1
            $0.scans.scansWaitingMax = 1
        }
        let client = try begun.harness.connect(from: "127.0.0.2")
        let calls = try (0 ..< 2).map { _ in
            try client.call(.profiles("CountProfiles"), try Self.request(Self.slow))
        }
        // The loop comes before the next slice.
        for _ in 0 ..< 5 { _ = (client.turn(), try begun.harness.stepOne()) }
        try begun.harness.wait(for: "all") { calls.allSatisfy(\.hasEnded) }
        #expect(calls.map(\.status).sorted { $0 ?? 0 < $1 ?? 0 } == [0, 8])
        let rejected = try #require(calls.first { $0.status == 8 })
        #expect(rejected.reason == "LIMIT_EXCEEDED", "\(rejected.message)")
        try begun.expectEnd(0)
        #expect(try Self.count(begun.harness, "even = true").status == 0)
    }

    @Test func oneAddressGetsHalfOfThePlacesAndAnotherIsServed() throws {
        let begun = try Begun {
            $0.scans.scansAtOnceMax = 1
            $0.scans.scansWaitingMax = 3
        }
        // It has one scan already.
        let greedy = try begun.harness.connect()
        let other = try begun.harness.connect(from: "127.0.0.2")
        let calls = try [greedy, greedy, other].map { client in
            try client.call(.profiles("CountProfiles"), try Self.request(Self.slow))
        }
        // The loop comes before the next slice.
        for _ in 0 ..< 5 { _ = (greedy.turn(), other.turn(), try begun.harness.stepOne()) }
        try begun.harness.wait(for: "all") { calls.allSatisfy(\.hasEnded) }
        #expect(calls.map(\.status).sorted { $0 ?? 0 < $1 ?? 0 } == [0, 0, 8])
        #expect(calls[2].status == 0, "\(calls[2].message)")
        let rejected = try #require(calls.first { $0.status == 8 })
        #expect(rejected.reason == "LIMIT_EXCEEDED")
        #expect(rejected.failure.metadata == ["limit": "scans_per_peer_max", "maximum": "2"])
        try begun.expectEnd(0)
    }

    @Test func countThatCannotEndInTimeIsRejectedBeforeItRuns() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.scans.unitNanoseconds = 1_000_000_000
        })
        try Self.enter(100, harness)
        let scans = try #require(harness.node.recovered).scans
        let call = try Self.count(harness, "even = true")
        #expect(call.status == 8 && call.reason == "LIMIT_EXCEEDED", "\(call.message)")
        #expect(call.message.hasPrefix("comparing 100 profiles in 1 comparisons"))
        #expect(scans.metrics.work == 0 && scans.metrics.tooDear == 1 && scans.scans == 0)
        // An index makes it cheap, and a page ends in time by itself.
        #expect(try Self.count(harness, "custom_id = p3 even = true").status == 0)
        #expect(try Self.list(harness, "even = true").status == 0)
    }

    /// A page that finds nothing for long ends without being full, and its token goes on.
    @Test func pageEndsAfterItsWorkAndGoesOn() throws {
        let harness = try NodeHarness.serving(configure: { $0.scans.pageWorkMax = 1 })
        try Self.enter(1_500, harness)
        let found = try Self.pages(harness, "\(Self.everybody(19)) n >= 1499", size: 100)
        #expect(found.names == ["p1499"] && found.count > 1)
    }

    /// Every order in which the components may run.
    @Test(arguments: 1 ... 10 as ClosedRange<UInt64>)
    func writesBesideAListNeitherHideNorRepeatAnybody(seed: UInt64) throws {
        let harness = try NodeHarness.serving(order: seed)
        try Self.enter(300, harness)
        let writer = try harness.connect()
        var writes: [WireCall] = []
        for number in 0 ..< 40 {
            let request =
                number % 4 == 0
                ? Requests.track("new\(number)", ["e"]) : Requests.track("p\(number)", ["e"])
            writes.append(try writer.call(.profiles("Track"), try Requests.json(request)))
        }
        let found = try Self.pages(harness, "n >= 0", size: 50)
        try harness.wait(for: "the writes") { writes.allSatisfy(\.hasEnded) }
        #expect(Set(found.names).count == 300 && found.names.count == 300)
    }
}
