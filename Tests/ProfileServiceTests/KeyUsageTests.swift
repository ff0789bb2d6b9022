import Profiles
import Testing

@testable import ProfileService

/// Counters of keys: open calls, tokens, the last use.
@Suite struct KeyUsageTests {
    private static let second: UInt64 = 1_000_000_000
    private let table = KeyUsageTable()

    private func handle(_ number: UInt8) -> KeyUsageHandle {
        self.table.handle(of: KeyTable.name(number), isGone: { _ in false })
    }

    @Test func asManyCallsAsAllowedAreOpen() {
        let usage = self.handle(1)
        for _ in 0 ..< 3 { #expect(usage.beginCall(maximum: 3)) }
        #expect(!usage.beginCall(maximum: 3))
        #expect(self.handle(2).beginCall(maximum: 3), "keys do not share")
        usage.endCall()
        #expect(self.handle(1).beginCall(maximum: 3) && !usage.beginCall(maximum: 3))
    }

    @Test func aBucketHoldsOneSecondAndFillsSteadily() {
        let usage = self.handle(1)
        func take(_ count: Int, at now: UInt64) -> UInt64 {
            usage.take(count, perSecond: 10, nowNanoseconds: now)
        }
        let start = 5 * Self.second
        for _ in 0 ..< 10 { #expect(take(1, at: start) == 0) }
        #expect(take(1, at: start) == Self.second / 10, "the time to wait is exact")
        #expect(take(1, at: start + Self.second / 10 - 1) == 1)
        #expect(take(1, at: start + Self.second / 10) == 0)
        #expect(take(5, at: start + Self.second / 10) == Self.second / 2)
        // However long it rests, it holds no more than a second's worth.
        #expect(take(10, at: start + 100 * Self.second) == 0)
        #expect(take(1, at: start + 100 * Self.second) > 0)
    }

    @Test func overAnyTimeNoMoreThanTheRateAndOneBurstPass() {
        let usage = self.handle(1)
        var taken = 0
        for tick in 0 ..< 100_000 as Range<UInt64>
        where usage.take(1, perSecond: 50, nowNanoseconds: Self.second + tick * 100_000) == 0 {
            taken += 1
        }
        // 10 s.
        #expect((500 ... 550).contains(taken), "\(taken)")
    }

    @Test func moreThanASecondsWorthNeedsAFullBucketAndLeavesADebt() {
        let usage = self.handle(1)
        #expect(usage.take(200, perSecond: 100, nowNanoseconds: Self.second) == 0)
        #expect(usage.take(1, perSecond: 100, nowNanoseconds: Self.second) > Self.second)
        #expect(usage.take(1, perSecond: 100, nowNanoseconds: 2 * Self.second) > 0)
        #expect(usage.take(1, perSecond: 100, nowNanoseconds: 3 * Self.second) == 0)
        #expect(usage.take(200, perSecond: 100, nowNanoseconds: 3 * Self.second) > 0)
    }

    @Test func lookingForATokenTakesNone() {
        let usage = self.handle(1)
        let now = Self.second
        for _ in 0 ..< 100 { #expect(usage.hasToken(perSecond: 1, nowNanoseconds: now)) }
        #expect(usage.take(1, perSecond: 1, nowNanoseconds: now) == 0)
        #expect(!usage.hasToken(perSecond: 1, nowNanoseconds: now))
        #expect(usage.hasToken(perSecond: 1, nowNanoseconds: now + Self.second))
    }

    @Test func lastUseIsKeptToTheMinute() {
        #expect(self.table.lastUsedMinute(KeyTable.name(1)) == 0)
        self.handle(1).note(minute: 28_000_000)
        #expect(self.table.lastUsedMinute(KeyTable.name(1)) == 28_000_000)
        #expect(self.table.lastUsedMinute(KeyTable.name(2)) == 0)
    }

    // MARK: Bounds

    @Test func keysThatAreGoneLeaveNothing() {
        var gone: KeyUsageHandle?
        for number in 0 ..< 20_000 as Range<UInt64> {
            let handle = self.table.handle(of: KeyName(bits: (number, 1)), isGone: { _ in true })
            if number == 0 {
                gone = handle
                #expect(handle.beginCall(maximum: 1))
                handle.note(minute: 5)
            }
        }
        #expect(self.table.count <= 1_024)
        // A call of the first key that is still open changes nothing of the next one's.
        let again = self.table.handle(of: KeyName(bits: (0, 1)), isGone: { _ in true })
        #expect(self.table.lastUsedMinute(KeyName(bits: (0, 1))) == 0)
        #expect(again.beginCall(maximum: 1))
        gone?.endCall()
        #expect(!again.beginCall(maximum: 1))
    }

    @Test func keysThatExistKeepTheirCounters() {
        for number in 0 ..< 3_000 as Range<UInt64> {
            self.table.handle(of: KeyName(bits: (number, 1)), isGone: { _ in false })
                .note(minute: UInt32(number) + 1)
        }
        for number in 0 ..< 3_000 as Range<UInt64> {
            #expect(
                self.table.lastUsedMinute(KeyName(bits: (number, 1))) == UInt32(number) + 1)
        }
    }
}
