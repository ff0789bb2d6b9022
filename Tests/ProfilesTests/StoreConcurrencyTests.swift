import Bytes
import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// Readers on other threads while one thread applies; also meant for the thread sanitizer.
@Suite struct StoreConcurrencyTests {
    /// Every image is one that some prefix of the log made: each call adds two events and one
    /// revision, so a torn one shows.
    @Test func readersSeeWholeCallsAndNeverLoseOne() throws {
        let fixture = TrackFixture(
            limits: TrackModelTests.smallLimits.with { $0.namesPerProject = 100 })
        let people = 300
        let rounds = 20
        let store = fixture.store
        let finished = Atomic<Bool>(false)
        let torn = Atomic<Int>(0)
        let reads = Atomic<Int>(0)
        let group = DispatchGroup()
        for reader in 0 ..< 2 {
            DispatchQueue.global().async(group: group) {
                var random = SeededRandom(state: UInt64(reader))
                var buffer = ByteBuffer()
                var seen = [UInt64](repeating: 0, count: people)
                repeat {
                    let person = random.below(people)
                    buffer.removeAll()
                    let before = store.appliedLSN
                    let outcome = withBytes("person\(person)") {
                        store.read(
                            project: ProjectID(rawValue: 1),
                            identifier: IdentifierView(kind: .customID, bytes: $0),
                            now: TrackFixture.start, into: &buffer)
                    }
                    reads.add(1, ordering: .relaxed)
                    var bad = outcome.appliedLSN < before
                    if outcome.finding == .notFound {
                        bad = bad || seen[person] > 0
                    } else if let profile = ProfileResponse(buffer.bytes) {
                        let counted = profile.counters.reduce(0) { $0 + $1.count }
                        bad =
                            bad || counted != profile.revision * 2
                            || profile.revision < seen[person]
                            || profile.customID != "person\(person)"
                            || profile.lsn > outcome.appliedLSN
                        seen[person] = profile.revision
                    } else {
                        bad = true
                    }
                    if bad { torn.add(1, ordering: .relaxed) }
                } while !finished.load(ordering: .acquiring)
            }
        }
        for round in 0 ..< rounds {
            for person in 0 ..< people {
                let events = [
                    EventSpec(name: "a\(round % 4)"), EventSpec(name: "a\((round + 1) % 4)"),
                ]
                try fixture.track(TrackSpec("person\(person)", events))
            }
        }
        finished.store(true, ordering: .releasing)
        group.wait()
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(reads.load(ordering: .relaxed) > 0)
        #expect(store.profileCount == people)
        #expect(fixture.read("person7")?.revision == UInt64(rounds))
    }
}

extension StoreLimits {
    func with(_ change: (inout StoreLimits) -> Void) -> StoreLimits {
        var copy = self
        change(&copy)
        return copy
    }
}
