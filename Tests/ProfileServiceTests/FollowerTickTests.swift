import IOSimulation
import Storage
import Testing

@testable import ProfileService

@Suite struct FollowerTickTests {
    private static let age = SnapshotPolicy().ageNanosecondsMax
    /// lsn of the last record in these tests; an erasure came before it.
    private static let lsn: UInt64 = 5

    /// - Parameter ago: Age of the last record at the start, in nanoseconds.
    private static func tick(
        isReplicated: Bool = true, ago: UInt64 = 0, _ clock: SimulatedClock
    ) -> FollowerTick {
        let start = Committer.Start(
            results: ResultsChain(behind: ResultsMark(lsn: Self.lsn, digest: 0)),
            receivedAt: clock.wallMicroseconds() - Int64(ago / 1_000), snapshotLSN: nil)
        return FollowerTick(
            behind: start, policy: SnapshotPolicy(), isReplicated: isReplicated, clock: clock)
    }

    private static func isDue(
        _ tick: inout FollowerTick, lsn: UInt64 = Self.lsn, erased: UInt64 = 3,
        _ clock: SimulatedClock
    ) -> Bool {
        tick.isDue(
            appliedLSN: lsn, lastEraseLSN: erased, now: clock.monotonicNanoseconds())
    }

    @Test func itIsDueWheneverTheLogHasRestedForTheAgeOfASnapshot() {
        let clock = SimulatedClock()
        var tick = Self.tick(clock)
        clock.advance(nanoseconds: Self.age - 1)
        #expect(!Self.isDue(&tick, clock))
        clock.advance(nanoseconds: 1)
        #expect(Self.isDue(&tick, clock))
        #expect(!Self.isDue(&tick, lsn: Self.lsn + 1, clock), "a record came")
        clock.advance(nanoseconds: Self.age)
        #expect(Self.isDue(&tick, lsn: Self.lsn + 1, clock))
    }

    @Test func nobodyIsOwedOneWithoutAnErasureOrWithoutFollowers() {
        let clock = SimulatedClock()
        var (replicated, local) = (Self.tick(clock), Self.tick(isReplicated: false, clock))
        clock.advance(nanoseconds: Self.age)
        #expect(!Self.isDue(&replicated, erased: 0, clock))
        #expect(!Self.isDue(&local, clock))
    }

    /// A machine that is started every few hours must not put it off.
    @Test func restBeforeTheStartCounts() {
        let clock = SimulatedClock()
        var tick = Self.tick(ago: Self.age, clock)
        #expect(Self.isDue(&tick, clock))
        tick = Self.tick(ago: Self.age / 2, clock)
        #expect(!Self.isDue(&tick, clock))
        clock.advance(nanoseconds: Self.age / 2)
        #expect(Self.isDue(&tick, clock))
    }
}
