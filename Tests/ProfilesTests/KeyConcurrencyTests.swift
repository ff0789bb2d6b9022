import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// Lookups on other threads while keys are made and revoked; also meant for the thread sanitizer.
@Suite struct KeyConcurrencyTests {
    @Test func lookUpAfterARevocationNeverFindsALiveKey() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        let project = ProjectID(rawValue: 1)
        let lasting = try #require(try fixture.createKey().name)
        // The keys that were made, the first `revoked` of which are revoked.
        let rounds = 400
        let names = Mutex<[KeyName]>([])
        let revoked = Atomic<Int>(0)
        let finished = Atomic<Bool>(false)
        let wrong = Atomic<Int>(0)
        let group = DispatchGroup()
        for reader in 0 ..< 2 {
            DispatchQueue.global().async(group: group) {
                var random = SeededRandom(state: UInt64(reader))
                repeat {
                    let count = revoked.load(ordering: .acquiring)
                    let version = store.keys.version
                    if count > 0 {
                        let name = names.withLock { $0[random.below(count)] }
                        let isLive = store.keys.find(name).map { !$0.isRevoked } ?? false
                        if isLive { wrong.add(1, ordering: .relaxed) }
                    }
                    let listed = store.keys.list(of: project)
                    let isComplete = listed.contains { $0.key.name == lasting }
                    let isSorted = zip(listed, listed.dropFirst()).allSatisfy {
                        $0.key.createdLSN < $1.key.createdLSN
                    }
                    if store.keys.find(lasting) == nil || !isComplete || !isSorted
                        || store.keys.version < version
                    {
                        wrong.add(1, ordering: .relaxed)
                    }
                } while !finished.load(ordering: .acquiring)
            }
        }
        for _ in 0 ..< rounds {
            fixture.now += 1_000
            let name = try #require(try fixture.createKey().name)
            names.withLock { $0.append(name) }
            try fixture.revokeKey(name)
            revoked.add(1, ordering: .acquiringAndReleasing)
        }
        finished.store(true, ordering: .releasing)
        group.wait()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(store.keys.liveCount(of: project, now: fixture.now) == 1)
    }
}
