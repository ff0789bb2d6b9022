import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Reads through the wire: of several profiles, and those that walk.
@Suite struct NodeReadTests {
    /// Events whose copies take several slices of 64 KiB.
    ///
    /// - Returns: Their ids, the newest first.
    private static func track(
        _ harness: NodeHarness, _ identifier: String, _ prefix: String, calls: Int
    ) throws -> [String] {
        let text = String(repeating: "x", count: 300)
        let attributes = (0 ..< 8).map { #""a\#($0)":"\#(text)""# }.joined(separator: ",")
        var ids: [String] = []
        for number in 0 ..< calls {
            let events = (0 ..< 10).map { index in
                #"{"event_id":"\#(prefix)\#(number)-\#(index)","name":"visit","#
                    + #""attributes":{\#(attributes)}}"#
            }
            let call = try harness.call(
                "Track",
                #"{"project":"default","identifier":{\#(identifier)},"#
                    + #""events":[\#(events.joined(separator: ","))]}"#)
            #expect(call.status == 0, "\(call.message)")
            ids += (0 ..< 10).map { "\(prefix)\(number)-\($0)" }
        }
        return ids
    }

    private static func list(_ identifier: String, names: String = "[]") -> String {
        #"{"project":"default","identifier":{\#(identifier)},"names":\#(names),"page_size":500}"#
    }

    private static func ids(_ call: WireCall) -> [String] {
        (call.response?["events"]?.items ?? []).compactMap { $0["event_id"]?.text }
    }

    @Test func eventsOfSeveralSlicesAreListedOnceEach() throws {
        let harness = try NodeHarness.serving()
        let ids = try Self.track(harness, #""custom_id":"anna""#, "e", calls: 12)
        let page = try harness.call("ListEvents", Self.list(#""custom_id":"anna""#))
        #expect(page.status == 0, "\(page.message)")
        #expect(Self.ids(page).count == ids.count && Set(Self.ids(page)) == Set(ids))
    }

    /// The walk finds nothing, and holds nobody up.
    @Test func walkThroughEventsThatNoFilterTakesLetsOtherCallsHaveTheirTurn() throws {
        let harness = try NodeHarness.serving()
        _ = try Self.track(harness, #""custom_id":"anna""#, "e", calls: 12)
        #expect(try harness.call("Track", Requests.track("bob", ["b"])).status == 0)
        let walker = try harness.connect()
        let other = try harness.connect()
        try harness.settle()
        let walk = try walker.call(
            .profiles("ListEvents"),
            try Requests.json(Self.list(#""custom_id":"anna""#, names: #"["other"]"#)))
        let read = try other.call(
            .profiles("GetProfile"), try Requests.json(Requests.person("bob")))
        _ = (walker.turn(), other.turn())
        // Both clients read all the time, the walker first.
        while !read.hasEnded {
            _ = try harness.stepOne()
            _ = (walker.turn(), other.turn())
        }
        #expect(read.status == 0 && !walk.hasEnded)
        try harness.wait(for: "the walk") { walk.hasEnded }
        #expect(walk.status == 0 && Self.ids(walk).isEmpty, "\(walk.message)")
    }

    /// A listing whose profile is merged away between two slices begins again with the survivor.
    @Test func listingOfAProfileThatIsMergedMeanwhileShowsTheSurvivorsEvents() throws {
        var merged = 0
        for seed in 1 ... 8 as ClosedRange<UInt64> {
            let harness = try NodeHarness.serving(order: seed)
            let phone = #""installation_id":"phone""#
            let before = try Self.track(harness, phone, "p", calls: 12)
            let other = try Self.track(harness, #""custom_id":"anna""#, "a", calls: 1)
            let walker = try harness.connect()
            let writer = try harness.connect()
            try harness.settle()
            let merge = try writer.call(
                .profiles("Identify"),
                try Requests.json(
                    #"{"project":"default","custom_id":"anna","installation_id":"phone"}"#))
            for _ in 0 ..< seed { _ = try harness.stepOne() }
            let walk = try walker.call(
                .profiles("ListEvents"), try Requests.json(Self.list(phone)))
            try harness.wait(for: "both") { walk.hasEnded && merge.hasEnded }
            #expect(merge.response?["outcome"]?.text == "OUTCOME_MERGED", "\(merge.message)")
            let found = Self.ids(walk)
            #expect(walk.status == 0, "seed \(seed): \(walk.message)")
            #expect(Set(found).count == found.count, "an event is listed once")
            let isAfter = Set(found) == Set(before + other)
            #expect(isAfter || Set(found) == Set(before), "seed \(seed): \(found.count)")
            merged += isAfter ? 1 : 0
        }
        #expect(merged > 0, "no merge came in between")
    }

    @Test(arguments: TestLog.allCases)
    func severalProfilesAreReadAtOnceAndTheMissingAreNamed(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        for name in ["anna", "bob"] {
            #expect(try harness.call("Identify", Requests.identify(name, #""n":1"#)).status == 0)
        }
        let names = ["anna", "nobody", "bob"].map { #"{"custom_id":"\#($0)"}"# }
        let call = try harness.call(
            "BatchGetProfiles",
            #"{"project":"default","identifiers":[\#(names.joined(separator: ","))]}"#)
        #expect(call.status == 0, "\(call.message)")
        let found = (call.response?["profiles"]?.items ?? []).map {
            $0["profile"]?["custom_id"]?.text
        }
        #expect(found == ["anna", "bob"])
        let missing = call.response?["missing"]?.items ?? []
        #expect(missing.map { $0["custom_id"]?.text } == ["nobody"])
        #expect(call.response?["lsn"]?.integer ?? 0 >= 2)
    }

    @Test(arguments: TestLog.allCases)
    func everyoneWithAnAddressIsLookedUp(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        for (name, address) in [("anna", "a"), ("bob", "b"), ("carl", "a")] {
            let call = try harness.call(
                "Identify",
                #"{"project":"default","custom_id":"\#(name)","attributes":"#
                    + #"{"native":{"email_address":"\#(address)@example.com"}}}"#)
            #expect(call.status == 0, "\(call.message)")
        }
        let call = try harness.call(
            "LookupProfiles", #"{"project":"default","email_address":"a@example.com"}"#)
        let found = (call.response?["profiles"]?.items ?? []).compactMap { $0["custom_id"]?.text }
        #expect(call.status == 0 && found.sorted() == ["anna", "carl"], "\(call.message)")
    }

    // MARK: What every read shares

    @Test func readThatAsksForAnLSNThatIsNotAppliedIsToldSo() throws {
        let harness = try NodeHarness.serving()
        #expect(try harness.call("Track", Requests.track("anna", ["e"])).status == 0)
        let early = try harness.call(
            "GetProfile",
            #"{"project":"default","identifier":{"custom_id":"anna"},"min_lsn":1000}"#)
        #expect(early.status == 9 && early.reason == "LSN_NOT_REACHED")
        #expect(early.failure.metadata["actual"] != nil)
        let read = try harness.call(
            "GetProfile",
            #"{"project":"default","identifier":{"custom_id":"anna"},"min_lsn":1}"#)
        #expect(read.status == 0)
    }

    /// A node that follows a log may have to come to the creation of the project yet.
    @Test func projectThatIsUnknownBehindTheLSNOfAReadIsNotCalledMissing() throws {
        let harness = try NodeHarness.serving()
        for (lsn, status, reason) in [
            (1_000, 9, "LSN_NOT_REACHED"), (1, 5, "PROJECT_NOT_FOUND"),
        ] as [(Int, Int32, String)] {
            let call = try harness.call(
                "GetProfile",
                #"{"project":"other","identifier":{"custom_id":"anna"},"min_lsn":\#(lsn)}"#)
            #expect(call.status == status && call.reason == reason, "\(call.message)")
        }
    }

    @Test(arguments: ["GetProfile", "ListEvents", "EraseProfile", "VerifyConsentLedger"])
    func unknownProjectIsNotFound(method: String) throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            method, #"{"project":"other","identifier":{"custom_id":"anna"}}"#)
        #expect(call.status == 5 && call.reason == "PROJECT_NOT_FOUND", "\(call.message)")
    }

    @Test func invalidFieldsAreListedWithTheirPaths() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            "Track",
            #"{"project":"NO","identifier":{"custom_id":""},"events":[{"event_id":"e","name":"a"},"#
                + #"{"event_id":"f","name":"not a name"}]}"#)
        #expect(call.status == 3 && call.reason == "INVALID_FIELDS" && call.messages.isEmpty)
        let paths = call.failure.violations.map(\.field)
        for path in ["project", "identifier.custom_id", "events[1].name"] {
            #expect(paths.contains(path), "\(paths)")
        }
        #expect(call.failure.violations.allSatisfy { !$0.description.isEmpty })
        #expect(harness.items.rejected == 2)
    }
}
