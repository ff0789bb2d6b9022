import GRPCTransport
import Testing

@testable import ProfileService

@Suite struct FailedLoginsTests {
    private static let second: UInt64 = 1_000_000_000
    private let logins = FailedLogins()
    private let address = PeerAddress("192.0.2.1:1")

    @Test func theTwentyFirstWithinTenSecondsWaits() {
        for number in 0 ..< 20 as Range<UInt64> {
            #expect(!self.logins.add(self.address, nowNanoseconds: number * Self.second / 4))
        }
        #expect(self.logins.add(self.address, nowNanoseconds: 9 * Self.second))
    }

    @Test func olderFailuresDoNotCount() {
        // One each 0.5 s: 20 in any 10 s.
        for number in 0 ..< 200 as Range<UInt64> {
            #expect(
                !self.logins.add(self.address, nowNanoseconds: number * Self.second / 2),
                "\(number)")
        }
        let now = 200 * Self.second / 2
        #expect(!self.logins.add(self.address, nowNanoseconds: now))
        #expect(self.logins.add(self.address, nowNanoseconds: now + 1))
    }

    /// Each loop counts with the time at which its tick began, so times of two loops are not in
    /// order.
    @Test func timesOfTwoLoopsNeedNotAscend() {
        for number in 0 ..< 20 as Range<UInt64> {
            let now = 100 * Self.second - number * Self.second / 100
            #expect(!self.logins.add(self.address, nowNanoseconds: now))
        }
        #expect(self.logins.add(self.address, nowNanoseconds: 99 * Self.second))
        for number in 0 ..< 10_000 {
            let address = PeerAddress("10.0.\(number / 256).\(number % 256):1")
            _ = self.logins.add(address, nowNanoseconds: 50 * Self.second)
        }
        #expect(self.logins.add(self.address, nowNanoseconds: 51 * Self.second))
    }

    @Test func otherAddressesAreNotAffected() {
        for _ in 0 ..< 100 { _ = self.logins.add(self.address, nowNanoseconds: Self.second) }
        #expect(!self.logins.add(PeerAddress("192.0.2.2:1"), nowNanoseconds: Self.second))
        #expect(self.logins.add(PeerAddress("192.0.2.1:2"), nowNanoseconds: Self.second))
    }

    @Test func theTableIsBoundedAndForgets() {
        for number in 0 ..< 10_000 {
            let address = PeerAddress("10.0.\(number / 256).\(number % 256):1")
            _ = self.logins.add(address, nowNanoseconds: Self.second)
        }
        #expect(self.logins.addressCount == FailedLogins.addressesMax)
        // Those without an entry count as one address.
        let beyond = PeerAddress("172.16.0.1:1")
        #expect(self.logins.add(beyond, nowNanoseconds: Self.second))
        #expect(!self.logins.add(beyond, nowNanoseconds: 12 * Self.second))
        #expect(self.logins.addressCount == 1)
    }
}
