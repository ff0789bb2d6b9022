import Bytes
import Testing

@testable import Profiles

/// Items of triggers in snapshots: what they hold, and what is rejected.
@Suite struct TriggerSnapshotTests {
    /// A store with everything that triggers have.
    private static func fixture() throws -> (fixture: TrackFixture, trigger: TriggerInfo) {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger {
            ($0.cap, $0.capPeriodSeconds) = (3, 1_000)
            $0.filter = Array("events.visit.count > 0".utf8)
        }
        _ = try fixture.trigger {
            ($0.delaySeconds, $0.unlessEventName) = (60, Array("open".utf8))
        }
        for number in 0 ..< 3 { try fixture.track(TrackSpec("p\(number)")) }
        try fixture.track(.installation("d"))
        try fixture.identify("d", as: "p1")
        return (fixture, trigger)
    }

    @Test func loadedStoreGoesOnWhereTheOtherWas() throws {
        let (fixture, trigger) = try Self.fixture()
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
        #expect(loaded.digest() == fixture.store.digest())
        #expect(loaded.triggers.nextDue == fixture.store.triggers.nextDue)
        #expect(loaded.triggers.counts.pending == 4 && loaded.triggers.counts.waiting == 4)
        let next = TrackFixture(store: loaded)
        next.now = fixture.now
        for each in [fixture, next] {
            try each.track(TrackSpec("p1"), after: TrackFixture.second)
            try each.track(TrackSpec("p1"), after: TrackFixture.second)
            try each.track(TrackSpec("p0", [EventSpec(name: "open")]))
            // Two of both profiles, and one more than the cap.
            #expect(each.pending(trigger)?.count == 5)
            each.now += 60 * TrackFixture.second
            try each.tickAll()
        }
        #expect(loaded.digest() == fixture.store.digest())
    }

    @Test func firingThatGoesWhileASnapshotIsWrittenIsInIt() throws {
        let (fixture, trigger) = try Self.fixture()
        let digest = fixture.store.digest()
        var isFirst = true
        let blocks = try SnapshotTests.blocks(of: fixture.store) {
            guard isFirst else { return }
            isFirst = false
            try fixture.settle(trigger, fixture.pendingLSNs(trigger))
            try fixture.erase("p1")
            try fixture.tick(after: 60 * TrackFixture.second)
            try fixture.track(TrackSpec("p2"))
            try fixture.deleteTrigger(trigger.id)
            try fixture.tick(after: TrackFixture.second)
        }
        #expect(try SnapshotTests.load(blocks).digest() == digest)
    }

    @Test func digestKnowsWhatATriggerHas() throws {
        var digests: Set<UInt64> = []
        let steps: [(TrackFixture, TriggerInfo) throws -> Void] = [
            { _, _ in }, { try $0.settle($1, [$0.pendingLSNs($1)[0]]) },
            { try $0.deleteTrigger($1.id) },
            { fixture, _ in
                fixture.now += 60 * TrackFixture.second
                try fixture.tick()
            },
        ]
        for step in steps {
            let (fixture, trigger) = try Self.fixture()
            let before = fixture.store.digest()
            digests.insert(before)
            try step(fixture, trigger)
            digests.insert(fixture.store.digest())
        }
        #expect(digests.count == steps.count)
    }

    @Test func storeWithoutTriggersWritesASnapshotAsBefore() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let blocks = try SnapshotTests.blocks(of: fixture.store)
        let kinds = Self.items(blocks).map(\.kind)
        #expect(!kinds.contains { 12 ... 14 ~= $0 })
        let loaded = try SnapshotTests.load(blocks)
        #expect(loaded.triggers.projects.isEmpty)
    }

    private static func items(_ blocks: [[UInt8]]) -> [(kind: UInt8, bytes: [UInt8])] {
        blocks.flatMap { block in
            block.withUnsafeBytes { bytes in
                var items: [(UInt8, [UInt8])] = []
                var offset = 0
                while offset < bytes.count {
                    let size = 8 + Int(bytes.integer(at: offset + 4, UInt32.self))
                    items.append(
                        (
                            bytes[offset],
                            [UInt8](
                                UnsafeRawBufferPointer(rebasing: bytes[offset ..< offset + size]))
                        ))
                    offset += size
                }
                return items
            }
        }
    }

    /// An item with one change, which must be rejected at once or at the end.
    @Test func damagedItemIsRejected() throws {
        let (fixture, _) = try Self.fixture()
        let items = try Self.items(SnapshotTests.blocks(of: fixture.store))
        #expect(Set(items.map(\.kind)).isSuperset(of: [12, 13, 14]))
        func load(_ items: [[UInt8]]) throws { _ = try SnapshotTests.load([items.flatMap { $0 }]) }
        let whole = items.map(\.bytes)
        try load(whole)
        for (index, item) in items.enumerated() where 12 ... 14 ~= item.kind {
            // Missing, twice, and cut.
            var changed = whole
            changed.remove(at: index)
            #expect(throws: SnapshotError.self) { try load(changed) }
            changed = whole
            changed.insert(item.bytes, at: index)
            #expect(throws: SnapshotError.self) { try load(changed) }
            for cut in [1, 5] {
                changed = whole
                changed[index].removeLast(cut)
                changed[index].replaceSubrange(
                    4 ..< 8,
                    with: withUnsafeBytes(of: UInt32(changed[index].count - 8)) { [UInt8]($0) })
                #expect(throws: SnapshotError.self) { try load(changed) }
            }
            // Another project, more lost firings than events, another trigger, another profile.
            for offset in item.kind == 12 ? [8, 36] : item.kind == 13 ? [8, 12, 20] : [8, 12, 36] {
                changed = whole
                changed[index][offset] = 0xEE
                #expect(throws: SnapshotError.self, "\(item.kind) \(offset)") {
                    try load(changed)
                }
            }
        }
    }

    @Test func firingThatWaitsForNoDelayIsRejected() throws {
        let fixture = TrackFixture()
        _ = try fixture.trigger()
        try fixture.track()
        var items = try Self.items(SnapshotTests.blocks(of: fixture.store)).map(\.bytes)
        _ = try SnapshotTests.load([items.flatMap { $0 }])
        let trigger = try #require(items.firstIndex { $0[0] == 12 })
        // Up to which lsn firings are due.
        items[trigger].replaceSubrange(37 ..< 45, with: [UInt8](repeating: 0, count: 8))
        #expect(throws: SnapshotError.self) {
            _ = try SnapshotTests.load([items.flatMap { $0 }])
        }
    }
}
