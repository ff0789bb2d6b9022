import Simulator
import Testing

/// Whole runs in this process.
@Suite struct SimulationTests {
    private static func plan(_ seed: UInt64, _ scenario: Scenario) -> SimulationPlan {
        var plan = SimulationPlan.generated(seed: seed, scenario: scenario)
        // Debug builds are slow: a prefix is enough here, the release build runs whole plans.
        plan.steps = 600
        plan.faults = plan.faults.map { fault in
            var early = fault
            early.step %= 600
            return early
        }
        plan.faults.sort { $0.step < $1.step }
        return plan
    }

    @Test(arguments: Scenario.allCases)
    func samePlanGivesTheSameTraceAndTail(scenario: Scenario) {
        for seed in 1 ... 3 as ClosedRange<UInt64> {
            let first = Simulation.run(Self.plan(seed, scenario))
            let second = Simulation.run(Self.plan(seed, scenario))
            #expect(first == second)
            #expect(!first.summary.tail.isEmpty)
        }
    }

    @Test(arguments: Scenario.allCases)
    func seedsBreakNoPromise(scenario: Scenario) {
        for seed in 1 ... 4 as ClosedRange<UInt64> {
            let outcome = Simulation.run(Self.plan(seed, scenario))
            #expect(outcome.violation == nil, "seed \(seed)")
            #expect(outcome.summary.counts.starts >= 2)
        }
    }

    @Test func differentSeedsGiveDifferentTraces() {
        let traces = (1 ... 4).map { Simulation.run(Self.plan($0, .local)).summary.trace }
        #expect(Set(traces).count == 4)
    }
}
