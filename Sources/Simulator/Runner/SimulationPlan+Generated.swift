import IOSimulation

extension SimulationPlan {
    /// Steps with faults of a generated plan.
    private static let generatedSteps: ClosedRange<Int> = 2_000 ... 5_000
    /// Faults of a generated plan, those that belong to others apart.
    private static let generatedFaultsMax = 12
    /// Seeds of faults: small, so that they are read easily.
    private static let seedBound = 10_000

    /// The plan of a seed.
    ///
    /// Each seed has some kinds of faults only: a run with all of them at once rarely gets far
    /// enough to meet what only two of them together show.
    package static func generated(
        seed: UInt64, scenario: Scenario, canary: String? = nil
    ) -> SimulationPlan {
        var random = RandomStream.faults.random(of: seed)
        let steps =
            self.generatedSteps.lowerBound
            + random.below(self.generatedSteps.upperBound - self.generatedSteps.lowerBound + 1)
        let kinds = Fault.examples.map(\.name).filter { _ in random.below(3) > 0 }
        var faults: [PlannedFault] = []
        for _ in 0 ..< random.below(self.generatedFaultsMax + 1) where !kinds.isEmpty {
            let step = random.below(steps)
            let node = scenario == .local ? 0 : random.below(3)
            let name = kinds[random.below(kinds.count)]
            let new = self.faults(named: name, steps: steps, &random)
            faults += new.map { PlannedFault(step: step, node: node, $0) }
        }
        // Stable for equal steps, so that a fault and the kill that shows it stay in order.
        let sorted = faults.enumerated().sorted {
            ($0.element.step, $0.offset) < ($1.element.step, $1.offset)
        }
        return SimulationPlan(
            seed: seed, scenario: scenario, steps: steps, faults: sorted.map(\.element),
            canary: canary)
    }

    /// A fault with arguments, and those that go with it.
    private static func faults(
        named name: String, steps: Int, _ random: inout SeededRandom
    ) -> [Fault] {
        let seed = UInt64(random.below(self.seedBound))
        let call = 1 + random.below(40)
        let lasting = 50 + random.below(steps / 4)
        switch name {
        case "kill": return [.kill] + self.faultsOfAStart(&random)
        case "killAtCall": return [.killAtCall(call)]
        case "powerCut": return [.powerCut(seed: seed)] + self.faultsOfAStart(&random)
        case "powerCutAtCall": return [.powerCutAtCall(call, seed: seed)]
        case "restart": return [.restart]
        case "readError": return [.readError(call)]
        case "writeError": return [.writeError(call)]
        case "shortWrite": return [.shortWrite(call)]
        case "syncError": return [.syncError(call)]
        case "directorySyncError": return [.directorySyncError(1 + random.below(4))]
        case "changeError": return [.changeError(call)]
        case "diskFull": return [.diskFull(bytes: random.below(96 << 10), steps: lasting)]
        case "bitRot": return [.bitRot(seed: seed)] + (random.below(2) == 0 ? [.kill] : [])
        case "slowDisk":
            return [.slowDisk(nanoseconds: self.duration(&random), steps: lasting)]
        case "clockJump":
            let microseconds = self.duration(&random) / 1_000 * (1 + random.below(40))
            return [.clockJump(microseconds: random.below(2) == 0 ? microseconds : -microseconds)]
        case "clockDrift":
            return [.clockDrift(partsPerMillion: random.below(200_001) - 100_000, steps: lasting)]
        case "cutConnection": return [.cutConnection(seed: seed)]
        case "halfOpen": return [.halfOpen(seed: seed)]
        case "delayNetwork":
            return [.delayNetwork(nanoseconds: self.duration(&random) / 4, steps: lasting)]
        case "slowReader": return [.slowReader(seed: seed, steps: lasting)]
        case "deposeLeader": return [.deposeLeader(kept: random.below(17))]
        case "twoLeaders": return [.twoLeaders(steps: lasting)]
        default: preconditionFailure("\(name) has no generator")
        }
    }

    /// What goes wrong with the start that follows a kill: in one of three, something does.
    private static func faultsOfAStart(_ random: inout SeededRandom) -> [Fault] {
        let call = 1 + random.below(60)
        let seed = UInt64(random.below(self.seedBound))
        switch random.below(15) {
        case 0, 1: return [.killAtCall(call)]
        case 2, 3: return [.powerCutAtCall(call, seed: seed)]
        case 4: return [.readError(call)]
        case 5: return [.syncError(1 + random.below(6))]
        case 6: return [.changeError(1 + random.below(20))]
        default: return []
        }
    }

    /// From 10 microseconds to 1.3 seconds, each order of magnitude as likely as the next.
    private static func duration(_ random: inout SeededRandom) -> Int {
        10_000 << random.below(18)
    }
}
