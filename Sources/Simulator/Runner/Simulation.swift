/// One run of a plan: the steps with faults, the steps in which the world heals, a last restart,
/// and what the checkers say then.
package struct Simulation {
    /// Steps within which a healed world must be at rest: each call ended, each node serving, and a
    /// fresh write responded. A seed needs about a thousand; idle steps pass up to 100 ms each, so
    /// this is at least the time of the longest timeout of the transport.
    package static let healStepsMax = 60_000

    private let world: World
    private let probe = Probe()

    private init(_ plan: SimulationPlan) {
        self.world = World(plan)
        Workload.install(in: self.world)
        self.world.topology.join(self.world)
        self.world.add(self.probe)
    }

    /// Runs a plan. The same plan gives the same outcome and the same trace, in any process whose
    /// dictionaries have the order that the seed of their hashing gives.
    package static func run(_ plan: SimulationPlan) -> RunOutcome {
        #if CANARIES
            plan.activateCanary()
        #else
            precondition(plan.canary == nil, "this build has no canaries")
        #endif
        return Simulation(plan).run()
    }

    private func run() -> RunOutcome {
        while self.world.stepNumber < self.world.plan.steps, self.world.violation == nil {
            self.world.step()
        }
        self.world.heal()
        self.rest("after the faults")
        // What the last process has in memory must be on the disk.
        if self.world.violation == nil {
            for node in self.world.nodes { self.world.end(node, .killed) }
            self.probe.ask()
            self.rest("after the last restart")
        }
        for checker in self.world.checkers where self.world.violation == nil {
            // The one before may have let time pass, and with it ticks be written.
            self.rest("before the check of \(checker.name)")
            guard self.world.violation == nil else { break }
            do throws(Violation) { try checker.finish(self.world) } catch { self.world.fail(error) }
        }
        return self.outcome()
    }

    /// Steps until the world is at rest.
    private func rest(_ when: String) {
        let first = self.world.stepNumber
        while self.world.violation == nil, !self.isAtRest {
            guard self.world.stepNumber - first < Self.healStepsMax else {
                self.world.fail(Violation("liveness", "\(when): \(self.unrest)"))
                return
            }
            self.world.step()
        }
        self.world.counts.healSteps += self.world.stepNumber - first
    }

    private var isAtRest: Bool {
        self.world.isWhole && self.world.actors.allSatisfy(\.isIdle)
    }

    private var unrest: String {
        let actors = self.world.actors.filter { !$0.isIdle }.map(\.name)
        let nodes = self.world.nodes.filter { !$0.isServing }.map { "node \($0.index) \($0.phase)" }
        return "not at rest within \(Self.healStepsMax) steps: "
            + (actors + nodes).joined(separator: ", ")
    }

    private func outcome() -> RunOutcome {
        for node in self.world.nodes {
            for file in node.disk.snapshot.files { self.world.mix(file.content) }
        }
        let summary = RunSummary(
            seed: self.world.plan.seed, trace: self.world.trace.hash, counts: self.world.counts,
            methods: self.world.methods, tail: self.world.trace.lines)
        if let violation = self.world.violation { return .failed(violation, summary) }
        return .passed(summary)
    }
}
