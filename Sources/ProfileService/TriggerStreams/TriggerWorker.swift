import GRPCTransport
import IOCore
import Messages
import Profiles

/// Serves all WatchTriggers calls of a node: delivers pending firings, one dispatcher per trigger,
/// and hands to the log what is settled.
///
/// Used by one thread, which the log's thread, the loops and its own mailbox wake.
package final class TriggerWorker: Steppable {
    /// How soon it asks again for headroom in the log, in nanoseconds.
    private static let retryNanoseconds: UInt64 = 1_000_000
    /// How often it looks at everything, for what nobody wakes it for: deleted projects, a node
    /// that does not lead any more, and a disk that has space again; in nanoseconds.
    private static let restNanoseconds: UInt64 = 500_000_000
    /// Records of one batch.
    private static let recordsPerBatch = 64

    private let coordinator: TriggerCoordinator
    private let store: Store
    private let pipeline: CommitPipeline
    private let clock: any Clock
    private let environment: DispatcherEnvironment
    /// By the lsns at which triggers were made, each unique in a log.
    private var dispatchers: [UInt64: TriggerDispatcher] = [:]
    /// The order of turns.
    private var order: [TriggerDispatcher] = []
    private var version: UInt64 = 0
    private var lookedNanoseconds: UInt64 = 0
    /// The batch that is not on its way to the log.
    private var batch: LogBatch?
    /// What the batch that is on its way settles, by its slots.
    private var underway: [(dispatcher: TriggerDispatcher, settlement: Settlement)] = []
    private var finished: [LogBatch] = []
    /// The log had no headroom.
    private var isLogFull = false

    package init(
        _ coordinator: TriggerCoordinator, store: Store, pipeline: CommitPipeline, clock: any Clock
    ) {
        self.coordinator = coordinator
        self.store = store
        self.pipeline = pipeline
        self.clock = clock
        self.environment = DispatcherEnvironment(coordinator, store)
        self.batch = LogBatch(loop: coordinator.settledIndex)
    }

    package func step() -> NextStep {
        self.environment.nowNanoseconds = self.clock.monotonicNanoseconds()
        self.environment.nowWallMicroseconds = self.clock.wallMicroseconds()
        self.collectSettled()
        let requests = self.coordinator.calls.takeRequests()
        for consumer in requests.opened { self.begin(consumer) }
        for consumer in requests.signalled { self.dispatchers[consumer.triggerLSN]?.hear(consumer) }
        let hasMore = self.turns()
        self.submit()
        if requests.isStopping { return self.stop() }
        // What is remembered for a trigger without streams needs no time.
        guard self.order.contains(where: \.isActive) else {
            self.coordinator.set(isAwaited: false)
            return .whenWoken
        }
        self.coordinator.set(isAwaited: true)
        if hasMore || self.version != self.store.triggers.version { return .now }
        if self.isLogFull, !self.pipeline.isDiskFull, case .none = self.obstacle {
            return .after(nanoseconds: Self.retryNanoseconds)
        }
        return self.rest()
    }

    private func begin(_ consumer: TriggerConsumer) {
        let dispatcher =
            self.dispatchers[consumer.triggerLSN]
            ?? TriggerDispatcher(consumer, self.environment)
        if self.dispatchers.updateValue(dispatcher, forKey: consumer.triggerLSN) == nil {
            self.order.append(dispatcher)
        }
        dispatcher.begin(consumer)
    }

    // MARK: Turns

    /// Gives a turn to the dispatchers that need one.
    private func turns() -> Bool {
        let now = self.environment.nowNanoseconds
        let version = self.store.triggers.version
        let looksAtAll =
            version != self.version || now >= self.lookedNanoseconds + Self.restNanoseconds
        self.version = version
        if looksAtAll { self.lookedNanoseconds = now }
        let obstacle = self.obstacle
        var hasMore = false
        var goneOrEmpty = false
        for dispatcher in self.order
        where looksAtAll || dispatcher.needsTurn || dispatcher.nextTurnNanoseconds <= now {
            switch dispatcher.proceed(obstacle) {
            case true?:
                dispatcher.needsTurn = true
                hasMore = true
            case false?: goneOrEmpty = goneOrEmpty || dispatcher.isEmpty
            case nil:
                self.dispatchers[dispatcher.triggerLSN] = nil
                goneOrEmpty = true
            }
        }
        if goneOrEmpty { self.dropEmpty() }
        return hasMore
    }

    /// Why the log takes no acknowledgements until a restart, or until this node leads again.
    private var obstacle: Rejection {
        if self.pipeline.isPoisoned { return .logUnavailable }
        return self.pipeline.isFollowing ? .notLeader : .none
    }

    private func dropEmpty() {
        for dispatcher in self.order where dispatcher.isEmpty {
            self.dispatchers[dispatcher.triggerLSN] = nil
        }
        self.order.removeAll { self.dispatchers[$0.triggerLSN] !== $0 }
    }

    private func rest() -> NextStep {
        let now = self.environment.nowNanoseconds
        let next = self.order.lazy.map(\.nextTurnNanoseconds).min() ?? .max
        guard next > now else { return .now }
        return .after(nanoseconds: min(Self.restNanoseconds, next - now))
    }

    // MARK: Settlements

    /// Hands a batch of settlements to the log, unless one is on its way.
    private func submit() {
        self.isLogFull = false
        guard let batch = self.batch else { return }
        for dispatcher in self.order where batch.slots.count < Self.recordsPerBatch {
            guard let settlement = dispatcher.takeSettlements() else { continue }
            guard self.append(settlement, of: dispatcher, to: batch) else {
                dispatcher.putBack(settlement)
                self.isLogFull = true
                break
            }
            self.underway.append((dispatcher, settlement))
        }
        guard !batch.isEmpty else { return }
        self.batch = nil
        self.pipeline.submit(batch)
    }

    /// - Returns: False if the log takes nothing at present.
    private func append(
        _ settlement: Settlement, of dispatcher: TriggerDispatcher, to batch: LogBatch
    ) -> Bool {
        let start = beginRecord(.settleFirings, in: &batch.records)
        SettleFiringsCommand.write(
            project: dispatcher.project, triggerLSN: dispatcher.triggerLSN, settlement.reason,
            settlement.lsns, into: &batch.records)
        endRecord(at: start, operations: 1, in: &batch.records)
        let bytes = batch.records.count - start
        guard case .none = self.pipeline.reserve(bytes: bytes, isOfStream: true) else {
            batch.records.truncate(to: start)
            return false
        }
        batch.slots.append(
            BatchSlot(
                token: Self.noCall, project: dispatcher.project, recordOffset: start,
                recordBytes: bytes, operations: 1, items: 0))
        return true
    }

    /// No call waits for these records.
    private static let noCall = CallToken(
        loop: .max, connectionSlot: .max, connectionGeneration: .max, streamSlot: .max,
        streamGeneration: .max)

    /// Takes the batch that came back from the log.
    private func collectSettled() {
        self.coordinator.settled.take(into: &self.finished)
        for batch in self.finished {
            for (slot, item) in zip(batch.slots, self.underway) {
                // A result that says that trigger or project are gone settles as well: nothing of
                // them is left.
                if case .none = slot.rejection {
                    item.dispatcher.settled(item.settlement)
                } else {
                    item.dispatcher.putBack(item.settlement)
                }
            }
            self.underway.removeAll(keepingCapacity: true)
            batch.reset()
            self.batch = batch
        }
        self.finished.removeAll(keepingCapacity: true)
    }

    /// Ends once what was acknowledged is durable, or cannot be.
    private func stop() -> NextStep {
        guard self.batch == nil else { return .ended }
        return .whenWoken
    }
}
