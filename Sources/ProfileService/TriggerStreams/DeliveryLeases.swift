/// What became of the firings of one trigger that were delivered at least once, or acknowledged,
/// and are still pending in the state.
///
/// ```
/// unknown --lease--> leased --deadline, stream end--> waiting --lease--> leased
///    |                  |                                |
///    +------------------+-----------settle---------------+--> settling --forget--> unknown
/// ```
///
/// Bounded by the firings that a project may have pending, and by those that left the state while
/// they were leased. By the lsns of their events.
struct DeliveryLeases {
    private enum State {
        /// On one stream; the number tells this delivery from others of the firing.
        case leased(stream: Int, number: UInt64)
        /// To be delivered again.
        case waiting
        /// On its way to the log.
        case settling
    }

    private struct Delivery {
        var state: State
        var attempt: UInt32
        /// The last stream that it was on; 0: none.
        var stream: Int
    }

    private struct Deadline {
        var nanoseconds: UInt64
        var lsn: UInt64
        var number: UInt64
    }

    /// Deadlines of deliveries that are over are left alone as long as there are no more of them
    /// than this, or than of those that are not.
    private static let outdatedMin = 64

    private var deliveries: [UInt64: Delivery] = [:]
    /// Descending once sorted, with lsns that do not wait any more.
    private var redeliveries: [UInt64] = []
    private var isSorted = true
    /// Ascending, as all deliveries of a trigger have equally long.
    private var deadlines: [Deadline] = []
    private var deadlineIndex = 0
    private var leasedCount = 0
    private var nextNumber: UInt64 = 1

    var isEmpty: Bool { self.deliveries.isEmpty }
    /// Firings that were delivered or acknowledged.
    var count: Int { self.deliveries.count }

    func isKnown(_ lsn: UInt64) -> Bool { self.deliveries[lsn] != nil }

    // MARK: Deliveries

    /// Notes a delivery to a stream, whose numbers begin with 1, and returns which attempt it is.
    mutating func lease(_ lsn: UInt64, to stream: Int, until nanoseconds: UInt64) -> UInt32 {
        var delivery =
            self.deliveries[lsn] ?? Delivery(state: .waiting, attempt: 0, stream: stream)
        guard case .waiting = delivery.state else {
            preconditionFailure("a firing is on one stream at a time")
        }
        delivery.state = .leased(stream: stream, number: self.nextNumber)
        delivery.stream = stream
        if delivery.attempt < .max { delivery.attempt += 1 }
        self.deliveries[lsn] = delivery
        self.deadlines.append(
            Deadline(nanoseconds: nanoseconds, lsn: lsn, number: self.nextNumber))
        self.nextNumber += 1
        self.leasedCount += 1
        return delivery.attempt
    }

    /// The firing to be delivered again whose event came first, and the stream that it was on; it
    /// leaves the queue.
    ///
    /// - Complexity: O(log waiting) amortised.
    mutating func takeWaiting() -> (lsn: UInt64, stream: Int)? {
        if !self.isSorted {
            self.redeliveries.sort(by: >)
            self.isSorted = true
        }
        while let lsn = self.redeliveries.popLast() {
            if let delivery = self.deliveries[lsn], case .waiting = delivery.state {
                return (lsn, delivery.stream)
            }
        }
        return nil
    }

    /// Puts a firing back that `takeWaiting` gave and that was not delivered.
    mutating func putBack(_ lsn: UInt64) {
        self.redeliveries.append(lsn)
        self.isSorted = self.redeliveries.count == 1
    }

    // MARK: Ends of deliveries

    /// Ends the deliveries whose time is over; `body` gets each with its stream.
    mutating func expire(at now: UInt64, _ body: (_ lsn: UInt64, _ stream: Int) -> Void) {
        while self.deadlineIndex < self.deadlines.count {
            let deadline = self.deadlines[self.deadlineIndex]
            guard case .leased(let stream, let number) = self.deliveries[deadline.lsn]?.state,
                number == deadline.number
            else {
                self.deadlineIndex += 1
                continue
            }
            guard deadline.nanoseconds <= now else { break }
            self.deadlineIndex += 1
            self.wait(deadline.lsn)
            body(deadline.lsn, stream)
        }
        self.dropOutdated()
    }

    /// When the next delivery is over; `nil`: there is none. As of the last `expire`.
    var nextDeadlineNanoseconds: UInt64? {
        guard self.deadlineIndex < self.deadlines.count else { return nil }
        return self.deadlines[self.deadlineIndex].nanoseconds
    }

    /// Deadlines that are kept.
    var deadlineCount: Int { self.deadlines.count }

    private mutating func dropOutdated() {
        let outdated = self.deadlines.count - self.leasedCount
        guard outdated > Self.outdatedMin, outdated > self.leasedCount else { return }
        self.deadlines.removeFirst(self.deadlineIndex)
        self.deadlineIndex = 0
        self.deadlines.removeAll { deadline in
            guard case .leased(_, let number) = self.deliveries[deadline.lsn]?.state else {
                return true
            }
            return number != deadline.number
        }
    }

    /// Ends the deliveries of a stream that has ended.
    mutating func release(_ lsns: some Sequence<UInt64>) {
        for lsn in lsns { self.wait(lsn) }
    }

    /// Ends a delivery that was never sent, so that it was no attempt.
    mutating func undo(_ lsn: UInt64) {
        self.wait(lsn)
        self.deliveries[lsn]?.attempt -= 1
        self.deliveries[lsn]?.stream = 0
    }

    private mutating func wait(_ lsn: UInt64) {
        guard case .leased = self.deliveries[lsn]?.state else {
            preconditionFailure("a stream holds what is leased to it")
        }
        self.deliveries[lsn]?.state = .waiting
        self.leasedCount -= 1
        self.putBack(lsn)
    }

    // MARK: Settlements

    /// What a firing was before it was settled.
    enum Settled: Equatable {
        /// It is settled now.
        case now
        /// It is settled now, and on this stream no more.
        case leased(stream: Int)
        case before
    }

    /// Takes a firing out of delivery until the log has settled it.
    mutating func settle(_ lsn: UInt64) -> Settled {
        let delivery = self.deliveries[lsn]
        var settled = Settled.now
        switch delivery?.state {
        case .settling: return .before
        case .leased(let stream, _):
            self.leasedCount -= 1
            settled = .leased(stream: stream)
        case .waiting, nil: break
        }
        self.deliveries[lsn] = Delivery(
            state: .settling, attempt: delivery?.attempt ?? 0, stream: delivery?.stream ?? 0)
        return settled
    }

    /// The firing has left the state.
    mutating func forget(_ lsn: UInt64) {
        if case .leased = self.deliveries.removeValue(forKey: lsn)?.state {
            preconditionFailure("what is leased is settled first")
        }
    }
}
