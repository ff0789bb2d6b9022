import IOSimulation
import ProfileService

/// What lasts for some steps.
struct Effect {
    enum Kind: Equatable {
        case diskFull(node: Int)
        case slowDisk(node: Int, nanoseconds: Int)
        case clockDrift(partsPerMillion: Int)
        case delayNetwork(node: Int, nanoseconds: Int)
        case slowReader(client: ObjectIdentifier)
    }

    var kind: Kind
    /// The first step without it.
    var endsAt: Int
}

extension World {
    /// The faults whose step has come, one after the other.
    func strikeDueFaults() {
        guard !self.isHealing else { return }
        while self.nextFault < self.plan.faults.count {
            let planned = self.plan.faults[self.nextFault]
            guard planned.step <= self.stepNumber else { return }
            self.nextFault += 1
            guard planned.node < self.nodes.count else { continue }
            self.note("fault: \(planned)")
            if self.strike(planned) { self.counts.faults[planned.fault.name, default: 0] += 1 }
        }
    }

    /// - Returns: Whether the fault found something to strike.
    private func strike(_ planned: PlannedFault) -> Bool {
        let node = self.nodes[planned.node]
        switch planned.fault {
        case .kill, .killAtCall, .powerCut, .powerCutAtCall, .restart:
            return self.strikeProcess(planned.fault, node)
        case .readError, .writeError, .shortWrite, .syncError, .directorySyncError, .changeError,
            .diskFull, .bitRot, .slowDisk:
            return self.strikeDisk(planned.fault, node)
        case .clockJump(let microseconds):
            self.clock.jump(microseconds: Int64(microseconds))
            return true
        case .clockDrift(let rate, let steps):
            self.begin(.clockDrift(partsPerMillion: rate), steps: steps)
            return true
        case .cutConnection, .halfOpen, .delayNetwork, .slowReader:
            return self.strikeNetwork(planned.fault, node)
        case .deposeLeader, .twoLeaders: return self.topology.strike(planned, self)
        }
    }

    private func strikeProcess(_ fault: Fault, _ node: SimulatedNode) -> Bool {
        switch fault {
        case .killAtCall(let number):
            node.endAtStop = .killed
            node.disk.stop(atCall: max(1, number))
            return true
        case .powerCutAtCall(let number, let seed):
            node.endAtStop = .powerCut
            node.cutSeed = seed
            node.disk.stop(atCall: max(1, number))
            return true
        case .powerCut(let seed):
            self.end(node, .powerCut, cutSeed: seed)
            return true
        case .kill where node.node != nil: self.end(node, .killed)
        case .restart where node.isServing: self.beginDrain(node)
        default: return false
        }
        return true
    }

    private func strikeDisk(_ fault: Fault, _ node: SimulatedNode) -> Bool {
        func plan(_ fault: DiskFault, _ calls: DiskFaultPlan.Calls, _ number: Int) {
            node.disk.add(DiskFaultPlan(fault, of: calls, number: max(1, number)))
        }
        switch fault {
        case .readError(let number): plan(.inputOutput, .reads, number)
        case .writeError(let number): plan(.inputOutput, .writes, number)
        case .shortWrite(let number): plan(.noSpace, .writes, number)
        case .syncError(let number): plan(.inputOutput, .syncs, number)
        case .directorySyncError(let number): plan(.inputOutput, .directorySyncs, number)
        case .changeError(let number): plan(.inputOutput, .changes, number)
        case .diskFull(let bytes, let steps):
            node.disk.limit(toBytes: node.disk.usedBytes + bytes)
            self.begin(.diskFull(node: node.index), steps: steps)
        case .slowDisk(let nanoseconds, let steps):
            self.begin(.slowDisk(node: node.index, nanoseconds: nanoseconds), steps: steps)
        case .bitRot(let seed): return node.rot(seed: seed)
        default: return false
        }
        return true
    }

    private func strikeNetwork(_ fault: Fault, _ node: SimulatedNode) -> Bool {
        switch fault {
        case .delayNetwork(let nanoseconds, let steps):
            self.begin(.delayNetwork(node: node.index, nanoseconds: nanoseconds), steps: steps)
            for connection in node.network.connections { self.applyDelay(to: connection, of: node) }
            return true
        case .slowReader(let seed, let steps):
            let open = self.clients.filter { !$0.isClosed && $0.isReading }
            guard !open.isEmpty else { return false }
            let client = open[Int(seed % UInt64(open.count))]
            client.isReading = false
            self.begin(.slowReader(client: ObjectIdentifier(client)), steps: steps)
            return true
        case .cutConnection(let seed), .halfOpen(let seed):
            let connections = node.network.connections
            guard !connections.isEmpty else { return false }
            let connection = connections[Int(seed % UInt64(connections.count))]
            if case .halfOpen = fault {
                node.network.delay(connection, nanoseconds: .max)
                self.halfOpen.append((node.index, connection))
            } else {
                node.network.cut(connection)
            }
            return true
        default: return false
        }
    }

    // MARK: Effects

    private func begin(_ kind: Effect.Kind, steps: Int) {
        self.effects.append(Effect(kind: kind, endsAt: self.stepNumber + max(1, steps)))
    }

    /// Ends the effects whose time is over, all of them once the world heals.
    func endEffects() {
        guard !self.effects.isEmpty else { return }
        let isOver = { (effect: Effect) in self.isHealing || effect.endsAt <= self.stepNumber }
        let over = self.effects.filter(isOver)
        self.effects.removeAll(where: isOver)
        for effect in over where !self.effects.contains(where: { $0.kind == effect.kind }) {
            switch effect.kind {
            case .diskFull(let index): self.nodes[index].disk.limit(toBytes: .max)
            case .delayNetwork(let index, _):
                let network = self.nodes[index].network
                for connection in network.connections {
                    guard !self.halfOpen.contains(where: { $0 == (index, connection) }) else {
                        continue
                    }
                    network.delay(connection, nanoseconds: 0)
                }
            case .slowReader(let client):
                for found in self.clients where ObjectIdentifier(found) == client {
                    found.isReading = true
                }
            case .slowDisk, .clockDrift: break
            }
        }
    }

    /// A component that has used a slow disk waits.
    func holdBack(_ index: Int, of node: SimulatedNode) {
        guard index < node.heldUntil.count else { return }
        for effect in self.effects {
            guard case .slowDisk(node.index, let nanoseconds) = effect.kind else { continue }
            node.heldUntil[index] =
                self.clock.monotonicNanoseconds() + UInt64(self.order.below(max(1, nanoseconds)))
        }
    }

    /// Gives a connection a delay of its own while its network is slow.
    func applyDelay(to connection: Int32, of node: SimulatedNode) {
        for effect in self.effects {
            guard case .delayNetwork(node.index, let nanoseconds) = effect.kind else { continue }
            guard !self.halfOpen.contains(where: { $0 == (node.index, connection) }) else {
                continue
            }
            node.network.delay(
                connection, nanoseconds: UInt64(self.order.below(max(1, nanoseconds))))
        }
    }

    // MARK: Healing

    /// Nothing goes wrong any more: disks have space and are whole, clocks are steady and not
    /// behind what they have shown, connections that hear nothing are cut, processes start again.
    package func heal() {
        self.isHealing = true
        self.note("heal")
        self.endEffects()
        self.effects = []
        for node in self.nodes {
            node.disk.clearFaults()
            node.disk.limit(toBytes: .max)
            _ = node.repair()
            node.heldUntil = node.heldUntil.map { _ in 0 }
            node.startSoon(at: self.stepNumber + 1)
        }
        for (index, connection) in self.halfOpen { self.nodes[index].network.cut(connection) }
        self.halfOpen = []
        let behind = self.latestWallMicroseconds - self.clock.wallMicroseconds()
        if behind > 0 { self.clock.jump(microseconds: behind) }
        self.topology.heal(self)
    }
}
