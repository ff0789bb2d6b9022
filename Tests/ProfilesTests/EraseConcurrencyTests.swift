import Bytes
import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// Readers on other threads while people come, merge and are erased; also meant for the thread
/// sanitizer.
@Suite struct EraseConcurrencyTests {
    private static let people = 20

    /// What the readers know and find; the lsns of the last erasures that had ended before a read
    /// began.
    private final class Watch: @unchecked Sendable {
        /// What is known of one person; half of an id of another time is an id that nobody has.
        struct Person: ~Copyable {
            let erased = Atomic<UInt64>(0)
            let high = Atomic<UInt64>(0)
            let low = Atomic<UInt64>(0)
        }

        let finished = Atomic<Bool>(false)
        let bad = Atomic<Int>(0)
        let found = Atomic<Int>(0)
        // SAFETY: made before and freed after the readers; its fields are atomic.
        let people = UnsafeMutablePointer<Person>.allocate(capacity: EraseConcurrencyTests.people)

        init() {
            for person in 0 ..< EraseConcurrencyTests.people {
                (self.people + person).initialize(to: Person())
            }
        }

        deinit {
            self.people.deinitialize(count: EraseConcurrencyTests.people)
            self.people.deallocate()
        }
    }

    @Test func nobodySeesAnErasedPersonAgain() throws {
        // Blocks end at once, so that the same names come again.
        let fixture = TrackFixture(limits: StoreLimits().with { $0.blockSeconds = 1 })
        let store = fixture.store
        let watch = Watch()
        let group = DispatchGroup()
        for reader in 0 ..< 2 {
            DispatchQueue.global().async(group: group) {
                Self.read(store, watch, seed: UInt64(reader))
            }
        }
        // Until the readers have met enough of them, however busy the machine is.
        var rounds = 0
        while rounds < 60 || (watch.found.load(ordering: .relaxed) < 50 && rounds < 5_000) {
            rounds += 1
            for person in 0 ..< Self.people {
                fixture.now += TrackFixture.second
                let id = try fixture.track(.installation("device\(person)")).profileID
                watch.people[person].high.store(id.high, ordering: .releasing)
                watch.people[person].low.store(id.low, ordering: .releasing)
                try fixture.apply(IdentifySpec(person: "person\(person)").record)
                try fixture.apply(
                    IdentifySpec(device: "device\(person)", person: "person\(person)").record)
                try fixture.erase("person\(person)")
                watch.people[person].erased.store(fixture.lsn, ordering: .releasing)
            }
            try fixture.tick(after: TrackFixture.second)
        }
        watch.finished.store(true, ordering: .releasing)
        group.wait()
        #expect(watch.bad.load(ordering: .relaxed) == 0)
        #expect(fixture.store.profileCount == 0)
    }

    private static func read(_ store: Store, _ watch: Watch, seed: UInt64) {
        var random = SeededRandom(state: seed)
        var buffer = ByteBuffer()
        let query = EventQuery(pageSize: 10)
        repeat {
            let person = random.below(Self.people)
            let id = ProfileID(
                high: watch.people[person].high.load(ordering: .acquiring),
                low: watch.people[person].low.load(ordering: .acquiring))
            let (kind, name): (IdentifierKind, [UInt8]) =
                switch random.below(3) {
                case 0: (.customID, Array("person\(person)".utf8))
                case 1: (.installationID, Array("device\(person)".utf8))
                default: (.profileID, id.binary)
                }
            let erased = watch.people[person].erased.load(ordering: .acquiring)
            buffer.removeAll()
            name.withUnsafeBytes { name in
                let identifier = IdentifierView(kind: kind, bytes: name)
                let outcome = store.read(
                    project: ProjectID(rawValue: 1), identifier: identifier,
                    now: TrackFixture.start, into: &buffer)
                if case .found = outcome.finding {
                    watch.found.add(1, ordering: .relaxed)
                    let image = ProfileImage(buffer.bytes)
                    let isWhole = image.map { $0.lsn > erased && $0.revision > 0 } ?? false
                    if !isWhole { watch.bad.add(1, ordering: .relaxed) }
                }
                buffer.removeAll()
                _ = store.listEvents(
                    project: ProjectID(rawValue: 1), identifier: identifier, query: query,
                    after: nil, now: TrackFixture.start,
                    into: &buffer)
                _ = store.blockedUntil(ProjectID(rawValue: 1), identifier, now: TrackFixture.start)
                buffer.removeAll()
                _ = store.readMany(
                    project: ProjectID(rawValue: 1), identifiers: [identifier],
                    now: TrackFixture.start, into: &buffer)
            }
        } while !watch.finished.load(ordering: .acquiring)
    }
}
