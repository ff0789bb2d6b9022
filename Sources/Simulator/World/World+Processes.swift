import IOCore
import ProfileService
import Storage

extension World {
    /// Steps between the end of a process and the next one, at most.
    private static let downStepsMax = 120
    /// Steps until an operator restarts a node whose log has failed, at most.
    private static let operatorStepsMax = 200
    /// For open calls in a drain, in nanoseconds.
    private static let drainNanoseconds: UInt64 = 2_000_000_000

    /// Whether every node serves, with a log that takes writes, and all of them agree.
    package var isWhole: Bool {
        self.nodes.allSatisfy { $0.isServing && $0.operatorEndsAt == nil }
            && self.topology.isSettled(self)
    }

    /// The life of one process: started, recovered, drained, and restarted when its log has failed.
    func turn(processOf node: SimulatedNode) -> Bool {
        switch node.phase {
        case .down(let until):
            guard self.stepNumber >= until else { return false }
            self.start(node)
            return true
        case .listening:
            self.recover(node)
            return true
        case .serving:
            guard let step = node.operatorEndsAt, step <= self.stepNumber else { return false }
            node.operatorEndsAt = nil
            if self.order.below(2) == 0 {
                self.end(node, .killed)
            } else {
                self.beginDrain(node)
            }
            return true
        case .draining:
            let before = node.phase
            if node.continueDrain() {
                self.end(node, .drained)
                return true
            }
            return node.phase != before
        }
    }

    func beginDrain(_ node: SimulatedNode) {
        self.note("drain", node.index)
        node.beginDrain(graceNanoseconds: Self.drainNanoseconds)
    }

    private func start(_ node: SimulatedNode) {
        self.note("start", node.index)
        let topology = self.topology
        let index = node.index
        do throws(NodeStartError) {
            try node.start(settings: self.settings, clock: self.clock) {
                topology.makeLogStore(ofNode: index, $0)
            }
        } catch {
            self.rejected(node, self.storageError(of: error), "\(error)")
        }
    }

    private func recover(_ node: SimulatedNode) {
        self.note("recover", node.index)
        do throws(RecoveryError) {
            try node.recover()
        } catch {
            node.abandonStart()
            guard !node.disk.isStopped else { return }
            var storage: StorageError?
            if case .storage(let found) = error { storage = found }
            self.rejected(node, storage, "\(error)")
            return
        }
        // What a stopped process recovers is never served.
        guard !node.disk.isStopped else { return }
        self.counts.starts += 1
        self.note("serving", node.index)
        self.topology.nodeStarted(node, self)
        self.check { (checker) throws(Violation) in try checker.nodeStarted(node, self) }
    }

    private func storageError(of error: NodeStartError) -> StorageError? {
        switch error {
        case .directory(let error): error
        case .listening(let error): .io(error)
        }
    }

    /// A start may be rejected for an error that was planned, for a disk that is full, and for
    /// damage: then the damage is repaired. Anything else is a finding.
    private func rejected(_ node: SimulatedNode, _ error: StorageError?, _ text: String) {
        guard !node.disk.isStopped else { return }
        self.counts.rejections += 1
        self.note("rejected: \(text)", node.index)
        if !self.isAccepted(error, of: node) {
            self.fail(Violation("start", "a start was rejected: \(text)"))
        }
        self.end(node, .rejected)
    }

    private func isAccepted(_ error: StorageError?, of node: SimulatedNode) -> Bool {
        let isPlanned = node.disk.faultsHit > node.faultsHitBefore
        let isFull = self.effects.contains { $0.kind == .diskFull(node: node.index) }
        switch error {
        case .io(let error): return isPlanned || isFull && error.kind == .noSpace
        case .poisoned: return isPlanned
        case .noSpace: return isPlanned || isFull
        case .corruption, .newerFormat, .foreign, .missingSegment, .logLoss, .snapshotDamaged,
            .missingLog, .snapshotRejected:
            return node.repair()
        default: return false
        }
    }

    /// Ends a process, and plans the next one.
    func end(_ node: SimulatedNode, _ end: ProcessEnd, cutSeed: UInt64? = nil) {
        self.note("end: \(end)", node.index)
        if node.node?.recovered != nil {
            self.check { (checker) throws(Violation) in try checker.nodeStops(node, end, self) }
        }
        var random = RandomStream.lives.random(of: self.plan.seed, node.index << 16 | node.life)
        let steps = self.isHealing ? 1 : random.below(Self.downStepsMax)
        node.end(cutSeed: cutSeed, startAgainAt: self.stepNumber + steps)
        self.topology.nodeStopped(node, self)
    }

    /// After each step: processes that died within it, and what the nodes have reported.
    func lookAtNodes() {
        for node in self.nodes {
            if node.disk.isStopped {
                self.end(
                    node, node.endAtStop,
                    cutSeed: node.endAtStop == .powerCut ? node.cutSeed : nil)
            }
            for event in node.takeReports() { self.hear(event, of: node) }
        }
    }

    private func hear(_ event: NodeEvent, of node: SimulatedNode) {
        switch event {
        case .logFailed(let error):
            self.note("log failed: \(error)", node.index)
            let steps = self.isHealing ? 1 : 1 + self.order.below(Self.operatorStepsMax)
            node.operatorEndsAt = self.stepNumber + steps
        case .loopFailed(let error):
            self.fail(Violation("node", "a network loop has failed: \(error.explanation)"))
        case .damaged(let error):
            self.note("damage found: \(error)", node.index)
            // A read that fails is reported in the same way, and is no damage.
            if case .io = error { break }
            if !node.hasRotted {
                self.fail(Violation("scrub", "damage without a cause: \(error)"))
            }
        default: break
        }
        self.check { (checker) throws(Violation) in
            try checker.nodeReported(event, node, self)
        }
    }
}
