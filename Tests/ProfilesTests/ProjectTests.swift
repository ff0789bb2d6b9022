import Bytes
import Testing

@testable import Profiles

/// Projects are made, changed and listed.
@Suite struct ProjectTests {
    private static func id(_ number: UInt32) -> ProjectID { ProjectID(rawValue: number) }

    @Test func projectIsMadeOnceAndWithEqualOptionsFoundAgain() throws {
        let fixture = TrackFixture()
        let options = ProjectOptions.with { $0.eventRetentionDays = 30 }
        let made = try fixture.create("brand_de-1", options)
        let info = try #require(made.project)
        #expect(info.id == Self.id(2) && info.name == Array("brand_de-1".utf8))
        #expect(info.options == options && info.revision == 1 && info.deleteDue == 0)
        #expect(info.createdAt == fixture.now)
        #expect(fixture.store.project(info.id) == info && fixture.find("brand_de-1") == 2)
        fixture.now += 5
        #expect(try fixture.create("brand_de-1", options).project == info)
        #expect(try fixture.create("brand_de-1").rejection == .projectExists)
        #expect(try fixture.create("default").project?.id == Self.id(1))
        #expect(fixture.store.projectCount == 2 && fixture.find("brand_de") == nil)
    }

    @Test(arguments: ["", "-a", "_a", "A", "a b", "a.b", "ä", String(repeating: "a", count: 64)])
    func nameOfAnotherFormIsMalformed(name: String) throws {
        let fixture = TrackFixture()
        #expect(throws: ApplyError.malformed(lsn: 1)) { try fixture.create(name) }
        #expect(try fixture.create(String(repeating: "a", count: 63)).rejection == .none)
    }

    @Test func projectOverTheLimitIsRejectedAndTakesNoNumber() throws {
        var limits = StoreLimits()
        limits.projectsMax = 3
        let fixture = TrackFixture(limits: limits)
        try fixture.create("a")
        try fixture.create("b")
        let rejected = try fixture.create("c")
        #expect(rejected.rejection == .limitExceeded && rejected.detail == 3)
        #expect(try fixture.create("b").rejection == .none, "one that exists is no new one")
        #expect(fixture.store.projects.nextID == 4)
    }

    @Test func requestIDsOfCreateProjectAreOfNoProject() throws {
        let fixture = TrackFixture()
        let first = try fixture.create("a", requestID: "r")
        let again = try fixture.create("a", requestID: "r")
        #expect(again.isReplayed && again.project == first.project)
        #expect(try fixture.create("b", requestID: "r").rejection == .requestIDReused)
        #expect(try fixture.track(TrackSpec().with { $0.requestID = "r" }).isReplayed == false)
        let loaded = TrackFixture(
            store: try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store)))
        loaded.now = fixture.now
        #expect(try loaded.create("a", requestID: "r").isReplayed)
        loaded.now += TrackFixture.day + 1
        #expect(try loaded.create("a", requestID: "r").isReplayed == false)
    }

    @Test func projectsAreListedByNameInPages() throws {
        let fixture = TrackFixture()
        for name in ["zeta", "alpha", "m-1", "m", "m_1"] { try fixture.create(name) }
        var names: [String] = []
        var last: [UInt8] = []
        while let page = Optional(fixture.store.projects(after: last, limit: 2)), !page.isEmpty {
            #expect(page.count <= 2)
            names += page.map { String(decoding: $0.name, as: UTF8.self) }
            last = page[page.count - 1].name
        }
        #expect(names == ["alpha", "default", "m", "m-1", "m_1", "zeta"])
        #expect(fixture.store.projects(after: [], limit: 0).isEmpty)
    }

    @Test func fieldsOfAnUpdateAreSetAndEachChangeRaisesTheRevision() throws {
        let fixture = TrackFixture()
        let before = fixture.store.projectsVersion
        try fixture.create("a", .with { $0.lateWindowSeconds = 60 })
        let new = ProjectOptions.with {
            $0.eventRetentionDays = 7
            $0.latestWins = true
        }
        let updated = try fixture.update(2, new, [.eventRetention])
        #expect(updated.project?.revision == 2)
        #expect(
            updated.project?.options
                == .with {
                    $0.lateWindowSeconds = 60
                    $0.eventRetentionDays = 7
                })
        #expect(try fixture.update(2, new, [.eventRetention]).project?.revision == 2)
        #expect(try fixture.update(2, new).project?.options == new)
        #expect(fixture.store.project(Self.id(2))?.revision == 3)
        #expect(fixture.store.project(Self.id(1))?.options == ProjectOptions())
        #expect(fixture.store.projectsVersion >= before + 3)
        #expect(try fixture.update(9, new).rejection == .projectNotFound)
    }

    /// A field that is right by itself can be wrong beside what is there.
    @Test func updateThatContradictsAnotherOptionIsRejected() throws {
        let fixture = TrackFixture()
        try fixture.update(1, .with { $0.lateWindowSeconds = 3 * 86_400 })
        let update = ProjectOptions.with { $0.eventRetentionDays = 2 }
        #expect(try fixture.update(1, update, [.eventRetention]).rejection == .invalidFields)
        #expect(fixture.store.options(of: Self.id(1))?.eventRetentionDays == 0)
    }

    @Test func optionsHoldForTheirProjectOnly() throws {
        let fixture = TrackFixture()
        try fixture.create(
            "strict",
            .with {
                $0.lateWindowSeconds = 60
                $0.eventsPerProfileMax = 2
                $0.topicDefaultUnsubscribed = true
                $0.doubleOptIn = 1 << Channel.email.rawValue
            })
        let late = TrackSpec("ann", [EventSpec(occurredAt: fixture.now - 61 * TrackFixture.second)])
        #expect(try fixture.track(late).rejection == .none)
        for _ in 0 ..< 4 { try fixture.track(after: 1) }
        try fixture.with(project: 2) { () throws in
            #expect(try fixture.track(late).rejection == .timeWindow)
            for _ in 0 ..< 5 { try fixture.track(after: 1) }
            let consent = try fixture.consent([(.email, "", .subscribed)], by: .user)
            #expect(consent.states == [.pending])
        }
        let consent = try fixture.consent([(.email, "", .subscribed)], by: .user)
        #expect(consent.states == [.subscribed])
        #expect(fixture.store.statistics(of: Self.id(1))?.events == 5)
        #expect(fixture.store.statistics(of: Self.id(2))?.events == 2)
        #expect(fixture.store.isTopicUnsubscribedByDefault(in: Self.id(2)))
        #expect(!fixture.store.isTopicUnsubscribedByDefault(in: Self.id(1)))
        #expect(fixture.store.timeWindows(of: Self.id(2))?.lateSeconds == 60)
        #expect(fixture.store.timeWindows(of: Self.id(3)) == nil)
    }

    @Test func sweepDropsByTheRetentionOfEachProject() throws {
        let fixture = TrackFixture()
        try fixture.create("short", .with { $0.eventRetentionDays = 1 })
        for project in [1, 2] as [UInt32] {
            try fixture.with(project: project) { () throws in
                _ = try fixture.track()
            }
        }
        try fixture.tick(after: 2 * TrackFixture.day)
        #expect(fixture.store.statistics(of: Self.id(1))?.events == 1)
        #expect(fixture.store.statistics(of: Self.id(2))?.events == 0)
        #expect(!fixture.store.tickDue(at: fixture.now + 80 * TrackFixture.day))
        // A shorter retention is due at the next sweep.
        try fixture.update(1, .with { $0.eventRetentionDays = 1 })
        #expect(fixture.store.tickDue(at: fixture.now + RetentionSweep.sweepInterval))
        try fixture.tick(after: RetentionSweep.sweepInterval)
        #expect(fixture.store.statistics(of: Self.id(1))?.events == 0)
        #expect(fixture.store.memory.retainedEvents == 0)
    }

    @Test func limitsCountTheirProjectOnly() throws {
        var limits = StoreLimits()
        (limits.namesPerProject, limits.requestIDsPerProject) = (2, 2)
        (limits.mergesPerProject, limits.blocksPerProject) = (1, 1)
        let fixture = TrackFixture(limits: limits)
        try fixture.create("other")
        for project in [1, 2] as [UInt32] {
            try fixture.with(project: project) { () throws in
                for name in ["a", "b"] {
                    let spec = TrackSpec("ann", [EventSpec(name: name)]).with {
                        $0.requestID = name
                    }
                    #expect(try fixture.track(spec).rejection == .none)
                }
                #expect(
                    try fixture.track(TrackSpec("ann", [EventSpec(name: "c")])).bad.first?.rejection
                        == .limitExceeded)
                try fixture.track(.installation("d", [EventSpec(name: "a")]))
                try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
                try fixture.track(TrackSpec("bob", [EventSpec(name: "a")]))
                try fixture.erase("bob")
            }
        }
        for project in [1, 2] as [UInt32] {
            try fixture.with(project: project) { () throws in
                #expect(
                    try fixture.track(
                        TrackSpec("ann", [EventSpec(name: "a")]).with {
                            $0.requestID = "a"
                        }
                    ).isReplayed)
                #expect(fixture.store.projects.find(Self.id(project))?.merges.count == 1)
                let blocked = try fixture.track(TrackSpec("bob", [EventSpec(name: "a")]))
                #expect(blocked.rejection == .identifierErased)
            }
        }
    }

    /// A project costs next to nothing until it is used.
    @Test func projectsWithoutUseAreSmall() throws {
        let fixture = TrackFixture()
        let before = fixture.store.memory.totalBytes
        for number in 0 ..< 2_000 { try fixture.create("p\(number)") }
        #expect(fixture.store.memory.totalBytes - before < 2_000 * 500)
        for number in 0 ..< 2_000 { #expect(fixture.find("p\(number)") == UInt32(number + 2)) }
    }

    /// Bytes in use for each profile, with the same profiles in one project and in a hundred.
    @Test func smallProjectsCostAtMostAThirdMoreForEachProfile() throws {
        func bytes(projects: Int, people: Int) throws -> Int {
            let fixture = TrackFixture()
            for number in 1 ..< projects { try fixture.create("p\(number)") }
            for project in 1 ... projects {
                try fixture.with(project: UInt32(project)) { () throws in
                    for number in 0 ..< people {
                        let events = (0 ..< 3).map { EventSpec(name: "event_\($0)") }
                        try fixture.track(TrackSpec("person\(project)-\(number)", events))
                    }
                }
            }
            return fixture.store.memory.usedBytes
        }
        let one = try bytes(projects: 1, people: 6_000)
        let many = try bytes(projects: 60, people: 100)
        #expect(many * 10 <= one * 13, "\(one) and \(many) bytes")
    }

    /// Names are found again at every step of the table's growth.
    @Test func namesAreKeptAtEverySizeOfTheTable() {
        withProject { project in
            for number in 0 ..< 3_000 {
                withBytes("name\(number)") { #expect(project.names.add($0) == number) }
            }
            for number in [0, 15, 16, 17, 31, 32, 63, 64, 2_047, 2_048, 2_999] {
                withBytes("name\(number)") {
                    #expect(project.names.find($0) == number)
                    #expect(project.names.name(number).equals($0))
                }
            }
            project.names.truncate(to: 16)
            withBytes("name16") { #expect(project.names.find($0) == nil) }
            withBytes("name15") { #expect(project.names.find($0) == 15) }
            project.names.removeAll()
            #expect(project.names.bytes == 0 && project.names.name(3).isEmpty)
        }
    }
}
