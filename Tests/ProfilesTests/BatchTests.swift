import Bytes
import Testing

@testable import Profiles

/// Atomic batches: what is refused leaves no trace, and everything replays.
@Suite struct BatchTests {
    /// Limits that merges and batches run into.
    static var limits: StoreLimits {
        var limits = StoreLimits()
        limits.eventsPerProfile = 8
        limits.installationsPerProfile = 3
        limits.mergesPerProject = 4
        return limits
    }

    /// A refused Track that takes as many lsns: it changes nothing but the time and the lsn.
    private static func nothing(_ operations: Int) -> [UInt8] {
        TrackSpec("nobody", (0 ..< operations).map { _ in EventSpec() }).with {
            $0.flags = .mustExist
        }.record
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func rejectedBatchLeavesTheStateAsItWas(seed: UInt64) throws {
        let hashMask: UInt64 = seed % 2 == 0 ? .max : 0xC000_0000_0000_0001
        let batched = TrackFixture(limits: Self.limits, hashMask: hashMask)
        let plain = TrackFixture(limits: Self.limits, hashMask: hashMask)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 400 {
            batched.now += Int64(generator.random.below(20_000_000))
            plain.now = batched.now
            if generator.random.chance(40) {
                let (record, operations) = generator.batch(batched.now, fails: true)
                try batched.apply(record)
                try plain.apply(Self.nothing(operations))
            } else {
                let record =
                    generator.random.chance(50)
                    ? generator.identify(batched.now).record : generator.track(batched.now).record
                try batched.apply(record)
                try plain.apply(record)
            }
            try #require(batched.store.digest() == plain.store.digest())
        }
        #expect(batched.store.profileCount == plain.store.profileCount)
        #expect(batched.store.memory.slabBytesInUse == plain.store.memory.slabBytesInUse)
    }

    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func replayDigestEqualsLiveDigest(seed: UInt64) throws {
        let live = TrackFixture(limits: Self.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 1_500 {
            live.now += Int64(generator.random.below(20_000_000))
            switch generator.random.below(10) {
            case 0:
                try live.apply(generator.batch(live.now, fails: generator.random.chance(30)).record)
            case 1: try live.tick(after: 0)
            case 2 ..< 6: try live.apply(generator.identify(live.now).record)
            default: try live.apply(generator.track(live.now).record)
            }
        }
        let replayed = TrackFixture(limits: Self.limits)
        for entry in live.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(replayed.store.digest() == live.store.digest())
    }

    @Test func stateOfAMergeIsFreedWhenItBecomesFinal() throws {
        let fixture = TrackFixture(limits: Self.limits)
        try fixture.apply(IdentifySpec(person: "ann").record)
        let before = fixture.store.memory.slabBytesInUse
        try fixture.apply(IdentifySpec(device: "phone", patch: [("color", .set, 1, [])]).record)
        try fixture.apply(
            IdentifySpec(device: "phone", person: "ann", patch: [("color", .delete, 0, [])]).record)
        let merged = fixture.store.memory.slabBytesInUse
        try fixture.tick(after: Int64(Self.limits.mergeSeconds) * 1_000_000)
        #expect(fixture.store.memory.slabBytesInUse == merged)
        try fixture.tick(after: 1)
        #expect(fixture.store.memory.slabBytesInUse < merged)
        #expect(fixture.store.memory.slabBytesInUse >= before)
    }
}
