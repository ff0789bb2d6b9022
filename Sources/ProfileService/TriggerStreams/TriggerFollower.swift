import Messages
import Profiles

/// One WatchTriggers call as its worker sees it. Used by the worker's thread only.
final class TriggerFollower {
    let consumer: TriggerConsumer
    /// Among those of its trigger, from 1.
    let number: Int
    /// The firings that are delivered to it and not acknowledged, by the lsns of their events, with
    /// `DeliveryBatch.Firing.sendByNanoseconds`, which tells this delivery from an earlier one.
    var held: [UInt64: UInt64] = [:]
    private(set) var hasHeadroom = true
    private(set) var isDraining = false
    /// The client has sent its last request.
    private(set) var isFinishing = false
    /// The call has ended; its deliveries are over once what it acknowledged is taken.
    private(set) var isClosed = false
    /// Some of what it acknowledged waits.
    private(set) var hasMoreAcknowledged = false
    /// It has its ending, and gets nothing more.
    private(set) var hasEnded = false
    /// Settlements of the trigger that must be in the log before the call ends with OK; `nil`: it
    /// is not known yet.
    var finishesAt: UInt64?
    private(set) var lastSentNanoseconds: UInt64 = 0
    private var batch = DeliveryBatch()
    private let coordinator: TriggerCoordinator

    init(_ consumer: TriggerConsumer, number: Int, _ coordinator: TriggerCoordinator) {
        self.consumer = consumer
        self.number = number
        self.coordinator = coordinator
    }

    /// Looks at what the loop wants.
    ///
    /// - Returns: What was acknowledged, and what was delivered to it and not sent.
    func hear(takingAcknowledged: Bool) -> (acknowledged: [UInt64], unsent: [UInt64]) {
        let demand = self.consumer.takeDemand(takingAcknowledged: takingAcknowledged)
        self.hasHeadroom = demand.hasHeadroom
        self.isDraining = demand.isDraining
        self.isFinishing = demand.isFinishing
        self.isClosed = demand.isClosed
        self.hasMoreAcknowledged = demand.hasMoreAcknowledged
        if let spare = demand.spare, self.batch.count == 0 {
            spare.reset(keepingCapacity: self.coordinator.limits.batchBytes)
            self.batch = spare
        }
        // Its loop may have held the client back.
        if demand.acknowledged.count > self.coordinator.limits.acknowledgementsMax {
            self.coordinator.calls.announce(self.consumer)
        }
        let unsent = demand.unsent.filter { self.held[$0.lsn] == $0.sendByNanoseconds }.map(\.lsn)
        for lsn in unsent { self.held[lsn] = nil }
        return (demand.acknowledged, unsent)
    }

    /// Whether another firing may be delivered to it.
    var takesDeliveries: Bool {
        self.hasHeadroom && !self.hasEnded && !self.isDraining && !self.isFinishing
            && !self.isClosed
            && self.held.count < self.consumer.inFlightMax
            && self.batch.count < self.coordinator.limits.batchBytes
    }

    /// What was erased before the profile of the next delivery is read.
    func note(erasure: UInt64) { self.batch.note(erasure: erasure) }

    func addDelivery(
        _ delivery: FiringDelivery, event: UnsafeRawBufferPointer, sendByNanoseconds: UInt64,
        _ encoder: MessageEncoder, _ nowNanoseconds: UInt64
    ) {
        self.lastSentNanoseconds = nowNanoseconds
        self.held[delivery.firing.eventLSN] = sendByNanoseconds
        let firing = DeliveryBatch.Firing(
            profileID: delivery.profileID, lsn: delivery.firing.eventLSN,
            sendByNanoseconds: sendByNanoseconds)
        self.batch.append(of: firing) {
            encoder.encodeDelivery(delivery, event: event, into: &$0)
        }
        self.coordinator.metrics.addDelivery()
    }

    func addHeartbeat(lost: UInt64, _ encoder: MessageEncoder, _ nowNanoseconds: UInt64) {
        self.lastSentNanoseconds = nowNanoseconds
        let trigger = self.consumer.trigger
        self.batch.append(of: nil) {
            encoder.encodeTriggerHeartbeat(trigger, lost: lost, into: &$0)
        }
    }

    /// When the next heartbeat is due; `nil`: what waits says more.
    var heartbeatNanoseconds: UInt64? {
        guard self.hasHeadroom, !self.hasEnded else { return nil }
        return self.lastSentNanoseconds + self.coordinator.limits.heartbeatNanoseconds
    }

    /// Hands over what is encoded, if the loop has taken the batch before.
    func postIfPossible() {
        guard self.hasHeadroom, self.batch.count > 0 else { return }
        self.consumer.post(self.batch)
        self.hasHeadroom = false
        self.batch = DeliveryBatch()
        self.coordinator.calls.announce(self.consumer)
    }

    /// Ends the call; nothing is added any more.
    func end(_ ending: TriggerConsumer.Ending) {
        guard !self.hasEnded else { return }
        self.hasEnded = true
        self.consumer.end(ending)
        self.coordinator.calls.announce(self.consumer)
    }
}
