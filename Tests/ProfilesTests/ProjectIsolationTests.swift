import Bytes
import Testing

@testable import Profiles

/// What one project holds, no other reaches: also with hashes that are equal nearly everywhere.
@Suite struct ProjectIsolationTests {
    /// What a reader sees of a profile, without what differs by the lsn.
    private struct Shown: Equatable {
        var customID = ""
        var revision: UInt64 = 0
        var times: [Int64] = []
        var installations: [String] = []
        var counters: [String] = []
        var events: [String] = []
    }

    private static func shown(
        _ fixture: TrackFixture, _ kind: IdentifierKind, _ name: String
    ) -> Shown? {
        let project = ProjectID(rawValue: fixture.project)
        var buffer = ByteBuffer()
        let isFound = withBytes(name) {
            fixture.store.read(
                project: project, identifier: IdentifierView(kind: kind, bytes: $0),
                now: fixture.now, into: &buffer
            ).finding != .notFound
        }
        guard isFound, let image = ProfileImage(buffer.bytes) else { return nil }
        var shown = Shown()
        shown.customID = String(decoding: image.customID, as: UTF8.self)
        shown.revision = image.revision
        shown.times = [
            image.createdAt, image.updatedAt, image.lastSeenAt, image.eventsTruncatedBefore,
        ]
        var lists = image.lists
        for _ in 0 ..< lists.readVarint() {
            shown.installations.append(String(decoding: lists.readPrefixed(), as: UTF8.self))
            _ = lists.read(count: 17)
        }
        for _ in 0 ..< lists.readVarint() {
            _ = lists.read(UInt8.self)
            _ = lists.readPrefixed()
        }
        for _ in 0 ..< lists.readVarint() {
            let name = String(decoding: lists.readPrefixed(), as: UTF8.self)
            shown.counters.append("\(name) \(lists.read(UInt64.self)) \(lists.read(Int64.self))")
            _ = lists.read(Int64.self)
        }
        fixture.store.forEachEventPage(
            project: project, id: image.profileID, pageSize: 100, now: fixture.now
        ) { count, images in
            var reader = ByteReader(images)
            for _ in 0 ..< count {
                guard let event = StoredEventView(from: &reader) else { return }
                shown.events.append(
                    "\(event.position.effectiveTime) \(String(decoding: event.name, as: UTF8.self))"
                )
            }
        }
        return shown
    }

    private static func everything(_ fixture: TrackFixture) -> [Shown?] {
        (0 ..< 5).flatMap { number in
            [
                Self.shown(fixture, .customID, "p\(number)"),
                Self.shown(fixture, .installationID, "d\(number)"),
            ]
        }
    }

    /// The rejection and flags of a result.
    private static func outcome(_ result: [UInt8]) -> [UInt8] { Array(result[4 ..< 7]) }

    /// Each project behaves as it would alone, whatever the others do under the same names.
    @Test(arguments: [UInt64.max, 0xFF, 0x3, 0], [1, 2, 3] as [UInt64])
    func projectBehavesAsIfItWereAlone(hashMask: UInt64, seed: UInt64) throws {
        let alone = TrackFixture(limits: SnapshotTests.limits)
        let shared = TrackFixture(limits: SnapshotTests.limits, hashMask: hashMask)
        try shared.create("second")
        try shared.create("third")
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        var order = SeededRandom(state: seed &+ 100)
        for _ in 0 ..< 150 {
            let (random, now) = (generator.random, alone.now)
            try SnapshotTests.step(alone, &generator)
            let after = generator
            var projects: [UInt32] = [1, 2, 3]
            projects.swapAt(0, order.below(3))
            for project in projects {
                // The same step again, for each project at the same time.
                generator.random = random
                shared.now = now
                let before = shared.log.count
                try shared.with(project: project) { () throws in
                    try SnapshotTests.step(shared, &generator)
                }
                guard shared.log.count > before, let result = shared.log.last?.result else {
                    continue
                }
                #expect(Self.outcome(result) == Self.outcome(alone.log.last?.result ?? result))
            }
            generator = after
            shared.now = alone.now
        }
        let expected = Self.everything(alone)
        for project in [1, 2, 3] as [UInt32] {
            shared.with(project: project) { #expect(Self.everything(shared) == expected) }
            let held = shared.store.statistics(of: ProjectID(rawValue: project))
            let single = alone.store.statistics(of: ProjectID(rawValue: 1))
            #expect(held?.profiles == single?.profiles)
            #expect(held?.identified == single?.identified)
            #expect(held?.events == single?.events)
        }
        // With equal hashes the order of entries under one hash is no state; the rest is.
        try Self.expectReplay(of: shared, hashMask: hashMask)
    }

    private static func expectReplay(of fixture: TrackFixture, hashMask: UInt64) throws {
        let replayed = Store(genesis: fixture.store.genesis, hashMask: hashMask)
        for entry in fixture.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(replayed.digest() == fixture.store.digest())
    }

    @Test func batchCannotWriteToAnotherProject() throws {
        let fixture = TrackFixture()
        try fixture.create("other")
        var generator = MixedGenerator(random: SeededRandom(state: 1))
        var record = generator.batch(fixture.now, fails: false).record
        #expect(throws: Never.self) { try fixture.apply(record) }
        // The batch is of project 2, its items of project 1.
        record[8] = 2
        let lsn = fixture.lsn + 1
        #expect(throws: ApplyError.malformed(lsn: lsn)) { try fixture.apply(record) }
        #expect(fixture.store.statistics(of: ProjectID(rawValue: 2))?.profiles == 0)
    }

    @Test func profileIDOfAnotherProjectIsUnknown() throws {
        let fixture = TrackFixture(hashMask: 0)
        try fixture.create("other")
        let ann = try fixture.track().profileID
        try fixture.with(project: 2) { () throws in
            #expect(fixture.read(.profileID, ann.binary) == nil)
            #expect(try fixture.track(.profile(ann)).rejection == .profileNotFound)
            #expect(try fixture.erase(.profileID, ann.binary).existed == false)
        }
        #expect(fixture.read(.profileID, ann.binary) != nil)
    }

    @Test func tokensAndPagesOfAnotherProjectAreInvalid() throws {
        let fixture = TrackFixture()
        try fixture.create("other")
        let ann = try fixture.track().profileID
        let token = ConsentToken(
            kind: .unsubscribe, project: ProjectID(rawValue: 1), profileID: ann, channel: .email,
            topic: .none, issuedAt: 0, lsn: 0)
        var text = ByteBuffer()
        fixture.store.appendText(of: token, to: &text)
        var content = ByteBuffer()
        #expect(
            fixture.store.verify(
                text.bytes, .unsubscribe, in: ProjectID(rawValue: 1), into: &content) != nil)
        #expect(
            fixture.store.verify(
                text.bytes, .unsubscribe, in: ProjectID(rawValue: 2), into: &content) == nil)
        // This service writes no record that says otherwise.
        var buffer = ByteBuffer()
        let start = beginRecord(.redeemUnsubscribe, in: &buffer)
        TokenCommand(
            project: ProjectID(rawValue: 2), requestID: .none, token: token, evidence: nil
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        let lsn = fixture.lsn + 1
        #expect(throws: ApplyError.malformed(lsn: lsn)) {
            try fixture.apply(Array(buffer.bytes))
        }
        let identifier = IdentifierView(kind: .profileID, bytes: .none)
        var page = ByteBuffer()
        let query = EventQuery(pageSize: 1)
        fixture.store.appendPageToken(
            project: ProjectID(rawValue: 1), identifier: identifier, query: query,
            position: EventPosition(effectiveTime: 1, lsn: 1), to: &page)
        for project in [1, 2] as [UInt32] {
            let position = fixture.store.verifyPage(
                page.bytes, project: ProjectID(rawValue: project), identifier: identifier,
                query: query)
            #expect((position != nil) == (project == 1))
        }
    }

    @Test func addressOfAnotherProjectIsNotFound() throws {
        let fixture = TrackFixture(hashMask: 0)
        try fixture.create("other")
        try fixture.setEmail("ann@example.com")
        var buffer = ByteBuffer()
        for project in [1, 2] as [UInt32] {
            let found = withBytes("ann@example.com") {
                fixture.store.lookupProfiles(
                    project: ProjectID(rawValue: project), channel: .email, address: $0,
                    now: fixture.now, into: &buffer)
            }
            #expect(found?.profiles.count == (project == 1 ? 1 : 0))
        }
    }
}
