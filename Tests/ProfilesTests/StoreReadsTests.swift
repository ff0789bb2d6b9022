import Bytes
import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// Listings of events, reads of several profiles, and lookups by address.
@Suite struct StoreReadsTests {
    private static let project = ProjectID(rawValue: 1)

    /// One page of Ann's events.
    private struct Page {
        var ids: [String] = []
        var next: EventPosition?
        var isTruncated = false
        var isRedirected = false
    }

    private static func list(
        _ fixture: TrackFixture, _ query: EventQuery, after position: EventPosition? = nil
    ) -> Page? {
        Self.list(fixture.store, fixture.now, query, after: position)
    }

    private static func list(
        _ store: Store, _ now: Int64, _ query: EventQuery, after position: EventPosition?
    ) -> Page? {
        var buffer = ByteBuffer()
        let page = withBytes("ann") {
            store.listEvents(
                project: Self.project, identifier: IdentifierView(kind: .customID, bytes: $0),
                query: query,
                after: position, now: now, into: &buffer)
        }
        guard let page else { return nil }
        var result = Page(
            next: page.next, isTruncated: page.isTruncated, isRedirected: page.isRedirected)
        var reader = ByteReader(buffer.bytes)
        for _ in 0 ..< page.eventCount {
            guard let event = StoredEventView(from: &reader) else { return nil }
            result.ids.append(String(decoding: event.eventID, as: UTF8.self))
            for _ in 0 ..< reader.readVarint() { _ = reader.readPrefixed() }
            guard reader.readVarint() == 0 else { return nil }
        }
        return reader.isAtCleanEnd ? result : nil
    }

    /// Pages of every size, in both orders, over events of equal and different times: each event
    /// once, in order.
    @Test(arguments: [1, 2, 3, 7, 50] as [Int], [false, true])
    func pagesShowEachEventOnceInOrder(pageSize: Int, oldestFirst: Bool) throws {
        let fixture = TrackFixture()
        var random = SeededRandom(state: UInt64(pageSize))
        var expected: [(time: Int64, number: Int)] = []
        for number in 0 ..< 40 {
            let time = fixture.now - Int64(random.below(6))
            try fixture.track(TrackSpec("ann", [EventSpec(id: "\(number)", occurredAt: time)]))
            expected.append((time, number))
        }
        expected.sort { ($0.time, $0.number) < ($1.time, $1.number) }
        var query = EventQuery(pageSize: pageSize)
        query.isOldestFirst = oldestFirst
        var (ids, place): ([String], EventPosition?) = ([], nil)
        repeat {
            let page = try #require(Self.list(fixture, query, after: place))
            #expect(page.ids.count == pageSize || page.next == nil)
            ids += page.ids
            place = page.next
        } while place != nil
        let order = oldestFirst ? expected : expected.reversed()
        #expect(ids == order.map { "\($0.number)" })
    }

    @Test func eventsThatComeAndGoWhilePagingNeitherRepeatNorSkipOthers() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 10
        let fixture = TrackFixture(limits: limits)
        for number in 0 ..< 10 {
            try fixture.track(TrackSpec("ann", [EventSpec(id: "\(number)")]), after: 1)
        }
        let query = EventQuery(pageSize: 4)
        let first = try #require(Self.list(fixture, query))
        #expect(first.ids == ["9", "8", "7", "6"])
        // Three come in front, so the three oldest go.
        for number in 10 ..< 13 {
            try fixture.track(TrackSpec("ann", [EventSpec(id: "\(number)")]), after: 1)
        }
        let second = try #require(Self.list(fixture, query, after: first.next))
        #expect(second.ids == ["5", "4", "3"] && second.next == nil && second.isTruncated)
    }

    @Test func boundsAreInclusiveAndExclusive() throws {
        let fixture = TrackFixture()
        let start = fixture.now
        for number in 0 ..< 5 {
            try fixture.track(TrackSpec("ann", [EventSpec(id: "\(number)")]), after: 1)
        }
        var query = EventQuery(pageSize: 10)
        (query.from, query.to) = (start + 2, start + 4)
        #expect(Self.list(fixture, query)?.ids == ["2", "1"])
        (query.from, query.to) = (start + 4, start + 2)
        #expect(Self.list(fixture, query)?.ids == [])
    }

    @Test func listingFollowsAMerge() throws {
        let fixture = TrackFixture()
        try fixture.apply(IdentifySpec(person: "ann").record)
        try fixture.track(TrackSpec("ann", [EventSpec(id: "a")]), after: 1)
        try fixture.track(.installation("phone", [EventSpec(id: "b")]), after: 1)
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        #expect(Self.list(fixture, EventQuery(pageSize: 10))?.ids == ["b", "a"])
    }

    @Test func pageTokenServesItsOwnListingOnly() {
        let store = TrackFixture().store
        let place = EventPosition(effectiveTime: 5, lsn: 7)
        var query = EventQuery(pageSize: 10)
        var token = ByteBuffer()
        withBytes("ann") { ann in
            let ann = IdentifierView(kind: .customID, bytes: ann)
            store.appendPageToken(
                project: Self.project, identifier: ann, query: query, position: place, to: &token)
            func verified(_ text: UnsafeRawBufferPointer, _ who: IdentifierView) -> EventPosition? {
                store.verifyPage(text, project: Self.project, identifier: who, query: query)
            }
            #expect(verified(token.bytes, ann) == place)
            #expect(
                verified(token.bytes, IdentifierView(kind: .installationID, bytes: ann.bytes))
                    == nil)
            for index in 0 ..< token.count {
                var bytes = Array(token.bytes)
                bytes[index] =
                    bytes[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
                bytes.withUnsafeBytes { #expect(verified($0, ann) == nil) }
            }
            query.pageSize = 20
            #expect(verified(token.bytes, ann) == place)
            query.isOldestFirst = true
            #expect(verified(token.bytes, ann) == nil)
        }
    }

    // MARK: Addresses

    /// An Identify that sets or deletes addresses.
    private static func identify(_ person: String, device: String = "", _ email: String?) -> [UInt8]
    {
        var buffer = ByteBuffer()
        let start = beginRecord(.identify, in: &buffer)
        Self.writeIdentify(person, device, email, into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    private static func writeIdentify(
        _ person: String, _ device: String, _ email: String?, into buffer: inout ByteBuffer
    ) {
        withBytes(device) { device in
            withBytes(person) { person in
                IdentifyHeader(
                    project: Self.project, flags: [], platform: 3, installationID: device,
                    customID: person,
                    requestID: .none, sourceName: .none, occurredAt: 0, sentAt: 0,
                    expectedRevision: 0
                ).write(into: &buffer)
            }
        }
        buffer.appendVarint(1)
        withBytes("email_address") { buffer.appendPrefixed($0) }
        buffer.append(email == nil ? PatchAction.delete.rawValue : PatchAction.set.rawValue)
        if let email { withBytes(email) { buffer.appendPacked(text: $0, isURL: false) } }
    }

    private static func lookup(_ fixture: TrackFixture, _ email: String) -> [String]? {
        var buffer = ByteBuffer()
        let images = withBytes(email) {
            fixture.store.lookupProfiles(
                project: Self.project, channel: .email, address: $0, now: fixture.now, into: &buffer
            )
        }
        return images?.profiles.compactMap { found in
            found.flatMap { images?.image($0, in: buffer.bytes) }.map {
                String(decoding: $0.customID, as: UTF8.self)
            }
        }.sorted()
    }

    @Test(arguments: [UInt64.max, 0xC000_0000_0000_0001])
    func lookupFollowsChangesOfAnAddress(hashMask: UInt64) throws {
        let fixture = TrackFixture(hashMask: hashMask)
        try fixture.apply(Self.identify("ann", "Ann@Example.org"))
        try fixture.apply(Self.identify("bob", "ann@example.ORG"))
        try fixture.apply(Self.identify("cid", "cid@example.org"))
        #expect(Self.lookup(fixture, "ANN@example.org") == ["ann", "bob"])
        fixture.now += 1
        try fixture.apply(Self.identify("bob", nil))
        try fixture.apply(Self.identify("ann", "new@example.org"))
        #expect(Self.lookup(fixture, "ann@example.org") == [])
        #expect(Self.lookup(fixture, "new@example.org") == ["ann"])
        #expect(fixture.store.addresses.bytes > 0)
    }

    @Test func rejectedBatchTakesItsAddressesBack() throws {
        let fixture = TrackFixture()
        try fixture.apply(Self.identify("ann", "ann@example.org"))
        fixture.now += 1
        var buffer = ByteBuffer()
        let start = beginRecord(.batch, in: &buffer)
        BatchHeader(project: Self.project, flags: [], requestID: .none, itemCount: 3).write(
            into: &buffer)
        for (person, email) in [("ann", "new@example.org"), ("bob", "bob@example.org")] {
            let item = beginBatchItem(.identify, in: &buffer)
            Self.writeIdentify(person, "", email, into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
        }
        let item = beginBatchItem(.track, in: &buffer)
        TrackSpec("nobody").with { $0.flags = .mustExist }.record.withUnsafeBytes { record in
            if let view = RecordView(record) { buffer.append(view.payload) }
        }
        endBatchItem(at: item, operations: 1, in: &buffer)
        endRecord(at: start, operations: 3, in: &buffer)
        try fixture.apply(Array(buffer.bytes))
        #expect(Self.lookup(fixture, "ann@example.org") == ["ann"])
        #expect(Self.lookup(fixture, "new@example.org") == [])
        #expect(Self.lookup(fixture, "bob@example.org") == [])
    }

    @Test func lookupOfMoreThanTheLimitIsRejectedAndNeverCut() throws {
        let fixture = TrackFixture()
        for number in 0 ..< Store.lookupProfilesMax {
            try fixture.apply(Self.identify("p\(number)", "all@example.org"))
        }
        #expect(Self.lookup(fixture, "all@example.org")?.count == Store.lookupProfilesMax)
        try fixture.apply(Self.identify("one more", "all@example.org"))
        #expect(Self.lookup(fixture, "all@example.org") == nil)
    }

    /// A placeholder that everyone has: a table passes all entries of a tag whenever it adds one,
    /// also when a snapshot is loaded.
    @Test func entriesOfOneAddressAreSpreadOverManyTags() throws {
        let fixture = TrackFixture()
        let count = 4_000
        for number in 0 ..< count {
            try fixture.apply(Self.identify("p\(number)", "none@example.org"))
        }
        let loaded = try SnapshotTests.load(
            SnapshotTests.blocks(of: fixture.store, pieceBytes: 1 << 20))
        #expect(loaded.digest() == fixture.store.digest())
        for store in [fixture.store, loaded] {
            var tags: [UInt32: Int] = [:]
            store.addresses.forEach { _, tag, _ in tags[tag, default: 0] += 1 }
            #expect(tags.values.reduce(0, +) == count && tags.count > 200)
            #expect(tags.values.max() ?? count < count / 50)
        }
        for number in 2 ..< count {
            try fixture.apply(Self.identify("p\(number)", "p\(number)@example.org"))
        }
        #expect(Self.lookup(fixture, "none@example.org") == ["p0", "p1"])
    }

    @Test(arguments: [UInt64.max, 0xC000_0000_0000_0001])
    func severalProfilesAreReadInTheOrderAskedForWithGaps(hashMask: UInt64) throws {
        let fixture = TrackFixture(hashMask: hashMask)
        for person in ["ann", "bob"] { try fixture.track(TrackSpec(person)) }
        var buffer = ByteBuffer()
        let names = ["bob", "nobody", "ann", "bob"].map { Array($0.utf8) }
        let images = withBytes(String(decoding: names.joined(), as: UTF8.self)) {
            text -> ProfileImages? in
            var (identifiers, offset): ([IdentifierView], Int) = ([], 0)
            for name in names {
                let bytes = UnsafeRawBufferPointer(rebasing: text[offset ..< offset + name.count])
                identifiers.append(IdentifierView(kind: .customID, bytes: bytes))
                offset += name.count
            }
            return fixture.store.readMany(
                project: Self.project, identifiers: identifiers, now: fixture.now, into: &buffer)
        }
        let found = try #require(images)
        #expect(found.appliedLSN == fixture.lsn)
        let shown = found.profiles.map { item in
            item.map { String(decoding: found.image($0, in: buffer.bytes).customID, as: UTF8.self) }
        }
        #expect(shown == ["bob", nil, "ann", "bob"])
    }

    /// Readers on other threads while one thread applies; also meant for the thread sanitizer.
    @Test func readsOfManyThingsAreWholeWhileOthersWrite() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 40
        let fixture = TrackFixture(limits: limits)
        try fixture.apply(Self.identify("bob", "bob@example.org"))
        try fixture.track(TrackSpec("ann", [EventSpec(id: "0"), EventSpec(id: "1")]))
        let store = fixture.store
        let finished = Atomic<Bool>(false)
        let wrong = Atomic<Int>(0)
        let group = DispatchGroup()
        for reader in 0 ..< 2 {
            DispatchQueue.global().async(group: group) {
                repeat {
                    let isRight =
                        reader == 0 ? Self.pagesAreConsecutive(store) : Self.isBobWhole(store)
                    if !isRight { wrong.add(1, ordering: .relaxed) }
                } while !finished.load(ordering: .acquiring)
            }
        }
        for round in 1 ..< 2_000 {
            try fixture.track(
                TrackSpec(
                    "ann", [EventSpec(id: "\(round * 2)"), EventSpec(id: "\(round * 2 + 1)")]),
                after: 1)
            try fixture.apply(
                Self.identify("ann", round % 2 == 0 ? "bob@example.org" : "ann@example.org"))
        }
        finished.store(true, ordering: .releasing)
        group.wait()
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    /// Each call adds two events, numbered on: a listing begins with an odd one and leaves none
    /// out.
    private static func pagesAreConsecutive(_ store: Store) -> Bool {
        var (last, place): (Int?, EventPosition?) = (nil, nil)
        repeat {
            guard
                let page = Self.list(
                    store, TrackFixture.start, EventQuery(pageSize: 7), after: place)
            else { return false }
            for id in page.ids {
                guard let number = Int(id), last.map({ $0 == number + 1 }) ?? (number % 2 == 1)
                else { return false }
                last = number
            }
            place = page.next
        } while place != nil
        return last != nil
    }

    /// Bob keeps an address that Ann comes to and leaves; a read of both at once finds him twice
    /// alike.
    private static func isBobWhole(_ store: Store) -> Bool {
        var buffer = ByteBuffer()
        let found = withBytes("bob@example.org") {
            store.lookupProfiles(
                project: Self.project, channel: .email, address: $0, now: TrackFixture.start,
                into: &buffer)
        }
        guard let found, (1 ... 2).contains(found.profiles.count) else { return false }
        buffer.removeAll()
        let both = withBytes("ann") { bytes in
            let ann = IdentifierView(kind: .customID, bytes: bytes)
            return store.readMany(
                project: Self.project, identifiers: [ann, ann], now: TrackFixture.start,
                into: &buffer)
        }
        guard let both, let first = both.profiles[0], let second = both.profiles[1] else {
            return false
        }
        let (one, other) = (
            both.image(first, in: buffer.bytes), both.image(second, in: buffer.bytes)
        )
        return one.revision == other.revision && one.lsn == other.lsn && one.lsn <= both.appliedLSN
    }
}
