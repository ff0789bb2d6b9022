import Bytes
import Testing

@testable import Profiles

/// What holds for the change records of any log.
@Suite struct ChangeModelTests {
    @Test(arguments: [21, 22, 23, 24] as [UInt64])
    func replayAndALoadedSnapshotGiveTheSameBytes(seed: UInt64) throws {
        let live = TrackFixture(limits: BatchTests.limits)
        let recorder = live.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 300 { try SnapshotTests.step(live, &generator) }
        let blocks = try SnapshotTests.blocks(of: live.store)
        try recorder.take()
        let (cut, position) = (recorder.changes.count, live.log.count)
        for _ in 0 ..< 500 { try SnapshotTests.step(live, &generator) }
        try recorder.take()

        let replayed = TrackFixture(limits: BatchTests.limits)
        let again = replayed.record()
        for entry in live.log { try Self.apply(entry, to: replayed.store) }
        try again.take()
        #expect(again.changes == recorder.changes && recorder.changes.count > 100)
        #expect(replayed.store.digest() == live.store.digest())
        #expect(replayed.store.memory.slabBytesInUse == live.store.memory.slabBytesInUse)

        let loaded = try SnapshotTests.load(blocks)
        let rest = ChangeRecorder(loaded)
        for entry in live.log[position...] { try Self.apply(entry, to: loaded) }
        try rest.take()
        #expect(rest.changes == Array(recorder.changes[cut...]))
    }

    /// A store that records ends in the same state, with the same memory, as one that does not.
    @Test(arguments: [31, 32] as [UInt64])
    func recordingChangesNothing(seed: UInt64) throws {
        let plain = TrackFixture(limits: BatchTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 800 { try SnapshotTests.step(plain, &generator) }
        let recording = TrackFixture(limits: BatchTests.limits)
        let recorder = recording.record()
        for entry in plain.log {
            let result = try TrackFixture.apply(
                entry.record, to: recording.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(try !recorder.take().isEmpty)
        #expect(recording.store.digest() == plain.store.digest())
        #expect(recording.store.memory.slabBytesInUse == plain.store.memory.slabBytesInUse)
    }

    @Test(arguments: [35, 36, 37] as [UInt64])
    func recordsAscendByLSNAndThenByKind(seed: UInt64) throws {
        let fixture = TrackFixture(limits: BatchTests.limits)
        let recorder = fixture.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 600 { try SnapshotTests.step(fixture, &generator) }
        let order = try recorder.takeChanges().map { ($0.lsn, $0.kind.rawValue) }
        #expect(zip(order, order.dropFirst()).allSatisfy { $0 <= $1 })
    }

    /// Whatever the record: a profile has a change exactly if its revision moved, it was created,
    /// merged away or erased, and the attributes named are those that a reader sees differ.
    @Test(arguments: [41, 42, 43, 44] as [UInt64])
    func profilesNamedAreThoseWhoseRevisionMoved(seed: UInt64) throws {
        let fixture = TrackFixture(limits: BatchTests.limits)
        let recorder = fixture.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        var before: [ProfileID: Shown] = [:]
        for _ in 0 ..< 800 {
            try SnapshotTests.step(fixture, &generator)
            let changes = try recorder.takeChanges()
            let after = Self.shown(fixture)
            var moved: Set<ProfileID> = []
            for (id, shown) in after where before[id]?.revision != shown.revision {
                moved.insert(id)
            }
            for id in before.keys where after[id] == nil { moved.insert(id) }
            var named: Set<ProfileID> = []
            for change in changes where change.kind != .suppressionChanged {
                named.insert(change.id)
                if let other = change.other { named.insert(other) }
            }
            // A batch can create a profile and merge it away: nobody ever saw it.
            named = named.filter { before[$0] != nil || after[$0] != nil }
            try #require(moved == named)
            let isBatch =
                fixture.log.last.map { $0.record[4] == RecordKind.batch.rawValue } ?? false
            if !isBatch { Self.check(changes, before, after) }
            before = after
        }
    }

    private static func check(
        _ changes: [RecordedChange], _ before: [ProfileID: Shown], _ after: [ProfileID: Shown]
    ) {
        for (id, shown) in after {
            guard let old = before[id] else { continue }
            let named = changes.filter { $0.kind == .attributesChanged && $0.id == id }
            let set = shown.attributes.filter { old.attributes[$0.key] != $0.value }
            let deleted = old.attributes.keys.filter { shown.attributes[$0] == nil }
            #expect(named.map(\.set) == (named.isEmpty ? [] : [set]))
            #expect(named.isEmpty == (set.isEmpty && deleted.isEmpty))
            #expect(named.flatMap(\.deleted) == deleted.sorted())
        }
    }

    /// Whoever applies all changes in their order to nothing has what a reader sees.
    @Test(arguments: [51, 52, 53, 54, 55, 56] as [UInt64])
    func changesInTheirOrderMakeTheProfiles(seed: UInt64) throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        var model = ChangeModel()
        for step in 0 ..< 600 {
            try SnapshotTests.step(fixture, &generator)
            for change in try recorder.takeChanges() { try model.apply(change) }
            if step % 20 == 19 { try #require(model.profiles == Self.shown(fixture)) }
        }
        for (id, survivor) in model.survivors {
            let chain = id.binary.withUnsafeBytes {
                fixture.store.chain(
                    ProjectID(rawValue: 1), IdentifierView(kind: .profileID, bytes: $0))
            }
            #expect(chain.first == (model.isLive(id) ? id : chain.first))
            #expect(chain.isEmpty == !model.isLive(id))
            if model.isLive(id) { #expect(chain.dropFirst().first == survivor) }
            #expect(
                fixture.store.isErased(ProjectID(rawValue: 1), id) == !model.isLive(id))
        }
        #expect(!model.survivors.isEmpty || !model.erased.isEmpty)
        for id in model.erased { #expect(fixture.store.isErased(ProjectID(rawValue: 1), id)) }
        for id in model.profiles.keys {
            #expect(!fixture.store.isErased(ProjectID(rawValue: 1), id))
        }
    }

    /// A profile as a reader sees it.
    struct Shown: Equatable {
        var revision: UInt64 = 0
        var customID = ""
        var installations: Set<String> = []
        var attributes: [String: [UInt8]] = [:]
        var counts: [String: UInt64] = [:]
        /// By channel and topic.
        var subscriptions: [String: UInt64] = [:]
    }

    private static func shown(_ fixture: TrackFixture) -> [ProfileID: Shown] {
        var shown: [ProfileID: Shown] = [:]
        fixture.store.forEachProfile(now: fixture.now) { _, image in
            shown[image.profileID] = Shown(image)
        }
        return shown
    }

    private static func apply(_ entry: TrackFixture.Entry, to store: Store) throws {
        _ = try TrackFixture.apply(
            entry.record, to: store, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
    }
}

/// The profiles that changes alone make.
struct ChangeModel {
    var profiles: [ProfileID: ChangeModelTests.Shown] = [:]
    /// Of each profile that was merged away.
    var survivors: [ProfileID: ProfileID] = [:]
    var erased: Set<ProfileID> = []

    /// Whether a chain of merges ends at a profile that lives.
    func isLive(_ id: ProfileID) -> Bool {
        var id = id
        while let next = self.survivors[id] { id = next }
        return self.profiles[id] != nil
    }

    mutating func apply(_ change: RecordedChange) throws {
        let id = change.id
        if change.kind == .created {
            try #require(self.profiles[id] == nil)
            self.profiles[id] = ChangeModelTests.Shown()
        }
        if change.kind == .erased {
            let known = Set(self.survivors.keys.filter { self.leads($0, to: id) })
            #expect(Set(change.erased) == known)
            #expect(change.survivors == change.erased.compactMap { self.survivors[$0] })
            self.erased.formUnion(change.erased + [id])
            self.profiles[id] = nil
            return
        }
        var profile = try #require(self.profiles[id])
        if change.kind != .suppressionChanged { profile.revision = change.revision }
        if change.kind == .created || change.kind == .identified {
            profile.customID = change.customID
        }
        #expect(profile.customID == change.customID)
        if let installation = change.installation {
            profile.installations.insert(installation)
            if let other = change.other, self.profiles[other] != nil {
                self.profiles[other]?.installations.remove(installation)
                // It is a change of both: the profile that loses the device has a new revision.
                self.profiles[other]?.revision += 1
            }
        }
        if change.kind == .merged {
            let other = try #require(change.other)
            let removed = self.profiles.removeValue(forKey: other)
            let lost = try #require(removed)
            self.survivors[other] = id
            profile.counts.merge(lost.counts) { $0 + $1 }
        }
        profile.attributes.merge(change.set) { $1 }
        for name in change.deleted { profile.attributes[name] = nil }
        if let event = change.event { profile.counts[event.name, default: 0] += 1 }
        for entry in change.entries {
            let key = "\(entry.channel.rawValue)/\(ChangeRecorder.topic(of: entry.bytes))"
            profile.subscriptions[key] = ChangeRecorder.number(4, of: entry.bytes)
        }
        self.profiles[id] = profile
    }

    private func leads(_ id: ProfileID, to end: ProfileID) -> Bool {
        var id = id
        while let next = self.survivors[id] { id = next }
        return id == end
    }
}

extension ChangeModelTests.Shown {
    fileprivate init(_ image: ProfileImage) {
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            String(decoding: bytes, as: UTF8.self)
        }
        self.revision = image.revision
        self.customID = text(image.customID)
        var lists = image.lists
        for _ in 0 ..< lists.readVarint() {
            self.installations.insert(text(lists.readPrefixed()))
            _ = lists.read(count: 17)
        }
        for _ in 0 ..< lists.readVarint() {
            _ = lists.read(UInt8.self)
            _ = lists.readPrefixed()
        }
        for _ in 0 ..< lists.readVarint() {
            let name = text(lists.readPrefixed())
            self.counts[name] = lists.read()
            _ = lists.read(count: 16)
        }
        for _ in 0 ..< lists.readVarint() {
            let name = text(lists.readPrefixed())
            let start = lists
            guard PackedValue.skip(&lists, depth: 1) else { return }
            var value = start
            self.attributes[name] = Array(value.read(count: lists.offset - start.offset))
            _ = lists.read(count: 17)
            _ = lists.readPrefixed()
        }
        SubscriptionView.forEach(in: &lists) {
            self.subscriptions["\($0.channel.rawValue)/\(text($0.topic))"] = UInt64(
                $0.state.rawValue)
        }
    }
}
