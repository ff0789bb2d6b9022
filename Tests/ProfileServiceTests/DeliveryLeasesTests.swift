import Testing

@testable import ProfileService

/// A value whose mutating methods are called inside of expectations.
private final class Box<Value> {
    var value: Value

    init(_ value: Value) {
        self.value = value
    }
}

/// Who has a firing, and for how long.
@Suite struct DeliveryLeasesTests {
    private static func expired(
        _ leases: Box<DeliveryLeases>, at now: UInt64
    ) -> [(lsn: UInt64, stream: Int)] {
        var expired: [(lsn: UInt64, stream: Int)] = []
        leases.value.expire(at: now) { expired.append((lsn: $0, stream: $1)) }
        return expired
    }

    @Test func attemptsCountUntilTheFiringIsForgotten() {
        let leases = Box(DeliveryLeases())
        for attempt in 1 ... 3 as ClosedRange<UInt32> {
            #expect(leases.value.lease(7, to: 1, until: UInt64(attempt) * 10) == attempt)
            #expect(Self.expired(leases, at: UInt64(attempt) * 10 - 1).isEmpty)
            #expect(Self.expired(leases, at: UInt64(attempt) * 10).map(\.lsn) == [7])
            #expect(leases.value.takeWaiting()?.lsn == 7)
        }
        #expect(leases.value.settle(7) == .now)
        leases.value.forget(7)
        #expect(leases.value.isEmpty)
        #expect(leases.value.lease(7, to: 1, until: 100) == 1)
    }

    @Test func waitingFiringsComeInTheirOrderAndOnce() {
        let leases = Box(DeliveryLeases())
        for lsn in [3, 1, 2, 4] as [UInt64] { _ = leases.value.lease(lsn, to: 5, until: 10) }
        leases.value.release([4, 2])
        #expect(Self.expired(leases, at: 10).map(\.lsn) == [3, 1])
        #expect(leases.value.settle(2) == .now)
        var order: [UInt64] = []
        while let (lsn, stream) = leases.value.takeWaiting() {
            #expect(stream == 5)
            order.append(lsn)
        }
        #expect(order == [1, 3, 4], "what is settled does not wait any more")
        leases.value.putBack(3)
        leases.value.putBack(1)
        #expect(leases.value.takeWaiting()?.lsn == 1)
    }

    @Test func settledFiringIsOutOfDeliveryUntilItIsForgotten() {
        let leases = Box(DeliveryLeases())
        _ = leases.value.lease(1, to: 2, until: 10)
        #expect(leases.value.settle(1) == .leased(stream: 2))
        #expect(leases.value.settle(1) == .before)
        #expect(Self.expired(leases, at: 20).isEmpty && leases.value.takeWaiting() == nil)
        #expect(leases.value.settle(9) == .now, "of the process before")
        #expect(leases.value.isKnown(9))
        leases.value.forget(9)
        #expect(!leases.value.isKnown(9))
    }

    @Test func deliveryThatWasNotSentIsNoAttempt() {
        let leases = Box(DeliveryLeases())
        _ = leases.value.lease(1, to: 1, until: 10)
        leases.value.undo(1)
        #expect(leases.value.takeWaiting()?.lsn == 1)
        #expect(leases.value.lease(1, to: 2, until: 20) == 1)
        #expect(Self.expired(leases, at: 10).isEmpty, "the first delivery has no deadline any more")
        #expect(Self.expired(leases, at: 20).map(\.stream) == [2])
    }

    /// Acknowledged deliveries do not stay until their deadline, which may be an hour away.
    @Test func deadlinesOfDeliveriesThatAreOverAreDropped() {
        let leases = Box(DeliveryLeases())
        var next: UInt64 = 1
        for _ in 0 ..< 1_000 {
            for _ in 0 ..< 10 {
                _ = leases.value.lease(next, to: 1, until: 1_000_000 + next)
                _ = leases.value.settle(next)
                leases.value.forget(next)
                next += 1
            }
            _ = Self.expired(leases, at: 0)
            #expect(leases.value.deadlineCount < 200)
        }
        #expect(leases.value.nextDeadlineNanoseconds == nil)
    }
}

/// What waits for the log.
@Suite struct SettlementQueueTests {
    @Test func oneRecordHasOneReasonAndAtMostTenThousandFirings() {
        let queue = Box(SettlementQueue())
        for lsn in 1 ... 10_001 as ClosedRange<UInt64> { queue.value.add(lsn, .acknowledged) }
        queue.value.add(10_002, .guarded)
        var sizes: [Int] = []
        while let settlement = queue.value.take() {
            sizes.append(settlement.lsns.count)
            #expect(queue.value.take() == nil, "one is on its way at a time")
            queue.value.noteSettled(settlement)
        }
        #expect(sizes == [10_000, 1, 1])
        #expect(
            queue.value.isEmpty && queue.value.settled == queue.value.added
                && queue.value.added == 10_002)
    }

    @Test func whatIsNotCommittedComesFirstAgain() throws {
        let queue = Box(SettlementQueue())
        for lsn in 1 ... 3 as ClosedRange<UInt64> { queue.value.add(lsn, .acknowledged) }
        let taken = queue.value.take()
        let first = try #require(taken)
        queue.value.add(4, .acknowledged)
        queue.value.putBack(first)
        #expect(queue.value.count == 4 && queue.value.settled == 0)
        #expect(queue.value.take()?.lsns == [1, 2, 3, 4])
    }
}
