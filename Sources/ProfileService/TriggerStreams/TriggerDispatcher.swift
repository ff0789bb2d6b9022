import Bytes
import Messages
import Profiles

// SAFETY: images are read where they lie in the buffers of the environment, which are not changed
// before the delivery is encoded; the bytes of an id are borrowed for one call.

/// What the dispatchers of a node share; used by the worker's thread only.
final class DispatcherEnvironment {
    let coordinator: TriggerCoordinator
    let store: Store
    let encoder = MessageEncoder()
    /// Images of events, and of the profile of one.
    var events = ByteBuffer(capacity: 4 << 10)
    var profile = ByteBuffer(capacity: 4 << 10)
    /// Of the step, monotonic and wall.
    var nowNanoseconds: UInt64 = 0
    var nowWallMicroseconds: Int64 = 0

    var limits: TriggerStreamLimits { self.coordinator.limits }

    init(_ coordinator: TriggerCoordinator, _ store: Store) {
        self.coordinator = coordinator
        self.store = store
    }
}

/// Delivers the firings of one trigger to the streams that are open on it.
///
/// Its memory of deliveries is that of this process: after a restart attempts begin anew. Used by
/// the worker's thread only.
final class TriggerDispatcher {
    /// A delivery that was encoded so long ago is looked up anew, in nanoseconds: the guard, the
    /// profile and the erasures are those of the time of sending. Half of the shortest time to
    /// acknowledge, so that nothing is sent that may be with another stream.
    private static let sendWithinNanoseconds: UInt64 = 5_000_000_000

    let project: ProjectID
    let trigger: ProfileID
    let triggerLSN: UInt64
    /// What happened that its next turn must look at.
    var needsTurn = true
    /// When it needs a turn otherwise, in monotonic nanoseconds.
    private(set) var nextTurnNanoseconds = UInt64.max
    private let environment: DispatcherEnvironment
    private var followers: [TriggerFollower] = []
    private var nextNumber = 1
    /// Where the search for a stream with headroom begins.
    private var turn = 0
    private var leases = DeliveryLeases()
    /// Pending firings through this one were delivered, or are of people who are gone.
    private var readThroughLSN: UInt64 = 0
    private(set) var settlements = SettlementQueue()
    /// Of the last read of the state.
    private var lost: UInt64 = 0

    /// A pending firing, copied from the state.
    private struct PendingCopy {
        var lsn: UInt64
        var profileID: ProfileID
        /// In `DispatcherEnvironment.events`.
        var image: Range<Int>
    }

    init(_ consumer: TriggerConsumer, _ environment: DispatcherEnvironment) {
        self.project = consumer.project
        self.trigger = consumer.trigger
        self.triggerLSN = consumer.triggerLSN
        self.environment = environment
    }

    /// There is something to do for it, now or later.
    var isActive: Bool { !self.followers.isEmpty || !self.settlements.isEmpty }
    /// Nothing would be forgotten with it.
    var isEmpty: Bool {
        self.followers.isEmpty && self.leases.isEmpty && self.settlements.isEmpty
    }

    private var store: Store { self.environment.store }
    private var limits: TriggerStreamLimits { self.environment.limits }
    private var now: UInt64 { self.environment.nowNanoseconds }

    // MARK: Streams that come and go

    func begin(_ consumer: TriggerConsumer) {
        let follower = TriggerFollower(
            consumer, number: self.nextNumber, self.environment.coordinator)
        self.nextNumber += 1
        self.followers.append(follower)
        self.lost = self.store.triggers.info(of: self.trigger, in: self.project)?.lost ?? 0
        follower.addHeartbeat(lost: self.lost, self.environment.encoder, self.now)
        follower.postIfPossible()
        self.needsTurn = true
    }

    /// Looks at what the loop of a call wants.
    func hear(_ consumer: TriggerConsumer) {
        guard let index = self.followers.firstIndex(where: { $0.consumer === consumer }) else {
            return
        }
        self.needsTurn = true
        self.hear(self.followers[index], at: index)
    }

    private func hear(_ follower: TriggerFollower, at index: Int) {
        let takes = self.settlements.count < self.limits.settlementsMax
        let heard = follower.hear(takingAcknowledged: takes)
        for lsn in heard.unsent { self.leases.undo(lsn) }
        for lsn in heard.acknowledged { self.acknowledge(lsn) }
        if follower.isFinishing, !follower.hasMoreAcknowledged, follower.finishesAt == nil {
            follower.finishesAt = self.settlements.added
        }
        if follower.isClosed, !follower.hasMoreAcknowledged {
            self.remove(follower, at: index)
        }
    }

    private func remove(_ follower: TriggerFollower, at index: Int) {
        self.environment.coordinator.metrics.add(releases: follower.held.count)
        self.leases.release(follower.held.keys)
        self.followers.remove(at: index)
        self.environment.coordinator.calls.forget(follower.consumer)
    }

    /// The open stream with a number.
    ///
    /// - Complexity: O(log streams), as numbers ascend.
    private func stream(_ number: Int) -> TriggerFollower? {
        var (low, high) = (0, self.followers.count)
        while low < high {
            let middle = (low + high) / 2
            if self.followers[middle].number < number { low = middle + 1 } else { high = middle }
        }
        guard low < self.followers.count, self.followers[low].number == number else { return nil }
        return self.followers[low]
    }

    // MARK: Settlements

    private func acknowledge(_ lsn: UInt64) {
        // A firing that this process has not delivered is one that it delivered before a restart.
        guard
            self.leases.isKnown(lsn)
                || self.store.triggers.isPending(lsn, of: self.trigger, in: self.project)
        else { return }
        switch self.leases.settle(lsn) {
        case .before: return
        case .now: break
        case .leased(let number):
            self.stream(number)?.held[lsn] = nil
        }
        self.settlements.add(lsn, .acknowledged)
    }

    /// Settlements for one record.
    func takeSettlements() -> Settlement? {
        #if CANARIES
            while Canary.acknowledgementLost.isActive, let lost = self.settlements.take() {
                self.settled(lost)
            }
        #endif
        return self.settlements.take()
    }

    /// A record was not committed.
    func putBack(_ settlement: Settlement) {
        self.settlements.putBack(settlement)
        self.needsTurn = true
    }

    /// A record was committed: the firings have left the state.
    func settled(_ settlement: Settlement) {
        for lsn in settlement.lsns { self.leases.forget(lsn) }
        self.settlements.noteSettled(settlement)
        self.needsTurn = true
    }

    // MARK: A turn

    /// Does what is due.
    ///
    /// - Parameter obstacle: Why the log takes no acknowledgements at all.
    /// - Returns: Whether there is more to do at once; `nil`: the trigger is gone.
    func proceed(_ obstacle: Rejection) -> Bool? {
        self.needsTurn = false
        self.nextTurnNanoseconds = .max
        if self.store.isDeleted(self.project) { return self.abort(.rejected(.projectDeleted)) }
        guard let trigger = self.store.triggers.info(of: self.trigger, in: self.project) else {
            return self.abort(.rejected(.triggerNotFound))
        }
        self.lost = trigger.lost
        self.retryAcknowledgements()
        self.expire()
        guard case .none = obstacle else {
            for follower in self.followers { follower.end(.aborted(.notAdmitted(obstacle))) }
            return false
        }
        let hasMore = self.deliver(trigger)
        for follower in self.followers { self.conclude(follower) }
        return hasMore
    }

    /// Ends all streams.
    private func abort(_ failure: CallFailure) -> Bool? {
        for follower in self.followers { follower.end(.aborted(failure)) }
        // What is still to be settled is gone with the trigger; streams are forgotten when their
        // loops have ended them.
        return self.followers.isEmpty ? nil : false
    }

    /// Takes acknowledgements that had to wait.
    private func retryAcknowledgements() {
        for index in self.followers.indices.reversed()
        where self.followers[index].hasMoreAcknowledged {
            self.hear(self.followers[index], at: index)
        }
    }

    private func expire() {
        var count = 0
        self.leases.expire(at: self.now) { lsn, number in
            count += 1
            self.stream(number)?.held[lsn] = nil
        }
        self.environment.coordinator.metrics.add(expirations: count)
        self.nextTurnNanoseconds = self.leases.nextDeadlineNanoseconds ?? .max
    }

    /// Heartbeats, and ends that are not abrupt.
    private func conclude(_ follower: TriggerFollower) {
        if follower.hasEnded { return }
        if follower.isDraining {
            guard follower.hasHeadroom else { return }
            self.addHeartbeat(to: follower)
            follower.postIfPossible()
            return follower.end(.failed(.rejected(.draining)))
        }
        if let finishesAt = follower.finishesAt, finishesAt <= self.settlements.settled {
            follower.postIfPossible()
            return follower.end(.finished)
        }
        if let due = follower.heartbeatNanoseconds, due <= self.now {
            self.addHeartbeat(to: follower)
        }
        follower.postIfPossible()
        self.nextTurnNanoseconds = min(
            self.nextTurnNanoseconds, follower.heartbeatNanoseconds ?? .max)
    }

    private func addHeartbeat(to follower: TriggerFollower) {
        follower.addHeartbeat(lost: self.lost, self.environment.encoder, self.now)
    }

    // MARK: Deliveries

    /// Delivers what fits: what is delivered again first, then in the order of the state.
    ///
    /// - Returns: Whether there may be more that fits.
    private func deliver(_ trigger: TriggerInfo) -> Bool {
        var left = self.limits.deliveriesPerTurn
        while left > 0, self.settlements.count < self.limits.settlementsMax,
            self.follower(avoiding: 0) != nil
        {
            if let (lsn, stream) = self.leases.takeWaiting() {
                left -= 1
                guard let copy = self.copyPending(lsn) else {
                    self.leases.forget(lsn)
                    continue
                }
                guard let follower = self.follower(avoiding: stream) else {
                    self.leases.putBack(lsn)
                    return false
                }
                self.deliver(copy, trigger, to: follower)
                continue
            }
            let copies = self.copyPending(limit: min(left, self.limits.firingsPerRead))
            guard !copies.isEmpty else { return false }
            for copy in copies {
                guard let follower = self.follower(avoiding: 0) else { return false }
                self.readThroughLSN = copy.lsn
                left -= 1
                // It may be acknowledged already, by a client of the process before.
                if !self.leases.isKnown(copy.lsn) { self.deliver(copy, trigger, to: follower) }
            }
        }
        return left == 0
    }

    /// The next stream with headroom, another one than that with a number if there is one.
    private func follower(avoiding number: Int) -> TriggerFollower? {
        var second: TriggerFollower?
        for offset in 0 ..< self.followers.count {
            let index = (self.turn + offset) % self.followers.count
            let follower = self.followers[index]
            guard follower.takesDeliveries else { continue }
            guard follower.number == number else {
                self.turn = index
                return follower
            }
            second = follower
        }
        return second
    }

    private func deliver(
        _ copy: PendingCopy, _ trigger: TriggerInfo, to follower: TriggerFollower
    ) {
        follower.note(erasure: self.store.lastEraseLSN)
        guard let image = self.readProfile(copy.profileID) else {
            // The person was erased, and the firing with them.
            return self.leases.forget(copy.lsn)
        }
        guard self.isSendable(image, trigger.definition) else {
            _ = self.leases.settle(copy.lsn)
            return self.settlements.add(copy.lsn, .guarded)
        }
        let deadline =
            self.now + UInt64(trigger.definition.ackDeadlineSeconds) * 1_000_000_000
        let attempt = self.leases.lease(copy.lsn, to: follower.number, until: deadline)
        self.nextTurnNanoseconds = min(self.nextTurnNanoseconds, deadline)
        let delivery = FiringDelivery(
            trigger: self.trigger,
            firing: FiringID(triggerLSN: self.triggerLSN, eventLSN: copy.lsn),
            profileID: image.profileID, customID: image.customID, attempt: attempt,
            lost: self.lost)
        follower.addDelivery(
            delivery,
            event: UnsafeRawBufferPointer(rebasing: self.environment.events.bytes[copy.image]),
            sendByNanoseconds: self.now + Self.sendWithinNanoseconds, self.environment.encoder,
            self.now)
        // The next one goes to the next stream.
        self.turn += 1
    }

    /// The profile that a firing belongs to as it is now: the survivor, if the one of the event was
    /// merged away.
    private func readProfile(_ id: ProfileID) -> ProfileImage? {
        self.environment.profile.removeAll()
        let outcome = withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            self.store.read(
                project: self.project,
                identifier: IdentifierView(kind: .profileID, bytes: bytes),
                now: self.environment.nowWallMicroseconds, into: &self.environment.profile)
        }
        guard case .found = outcome.finding else { return nil }
        return ProfileImage(self.environment.profile.bytes)
    }

    /// Whether the guard of the trigger allows a delivery; without one everything may be sent.
    private func isSendable(_ image: ProfileImage, _ definition: TriggerDefinition) -> Bool {
        guard let channel = Channel(rawValue: definition.guardChannel) else { return true }
        return definition.guardTopic.withUnsafeBytes { topic in
            self.store.checkSendable(
                image, project: self.project, channel: channel, topic: topic,
                messageClass: .marketing
            ).isSendable
        }
    }

    // MARK: The state

    /// Copies the pending firing of an event; `nil`: there is none any more.
    private func copyPending(_ lsn: UInt64) -> PendingCopy? {
        guard lsn > 0 else { return nil }
        let copy = self.copyPending(after: lsn - 1, limit: 1).first
        return copy?.lsn == lsn ? copy : nil
    }

    /// Copies the next firings that were not delivered.
    private func copyPending(limit: Int) -> [PendingCopy] {
        self.copyPending(after: self.readThroughLSN, limit: limit)
    }

    private func copyPending(after lsn: UInt64, limit: Int) -> [PendingCopy] {
        var copies: [PendingCopy] = []
        self.environment.events.removeAll()
        _ = self.store.triggers.forEachPending(
            of: self.trigger, in: self.project, after: lsn, limit: limit
        ) { firing in
            let start = self.environment.events.count
            firing.appendEvent(of: self.project, self.store, to: &self.environment.events)
            copies.append(
                PendingCopy(
                    lsn: firing.eventLSN, profileID: firing.profileID,
                    image: start ..< self.environment.events.count))
        }
        return copies
    }
}
