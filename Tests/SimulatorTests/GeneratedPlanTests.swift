import Simulator
import Testing

/// What the generator makes of seeds.
@Suite struct GeneratedPlanTests {
    @Test func planFollowsFromItsSeed() {
        for seed in 1 ... 50 as ClosedRange<UInt64> {
            let plan = SimulationPlan.generated(seed: seed, scenario: .local)
            #expect(SimulationPlan.generated(seed: seed, scenario: .local) == plan)
            #expect(plan.faults.map(\.step) == plan.faults.map(\.step).sorted())
            #expect(plan.faults.allSatisfy { $0.step < plan.steps && $0.node == 0 })
        }
    }

    @Test func everyKindOfFaultIsGenerated() {
        let names = (1 ... 400).flatMap { seed in
            SimulationPlan.generated(seed: UInt64(seed), scenario: .replicated).faults
                .map(\.fault.name)
        }
        #expect(Set(names) == Set(Fault.examples.map(\.name)))
    }

    @Test func someSeedsHaveNoFaultAndSomeHaveMany() {
        let counts = (1 ... 400).map {
            SimulationPlan.generated(seed: $0, scenario: .local).faults.count
        }
        #expect(counts.contains(0))
        #expect(counts.contains { $0 > 10 })
    }

    @Test func planIsReadBackFromItsText() {
        for seed in 1 ... 50 as ClosedRange<UInt64> {
            let plan = SimulationPlan.generated(seed: seed, scenario: .replicated)
            let text = plan.faults.map(\.description).joined(separator: ",")
            #expect(PlannedFault.list(text) == plan.faults)
        }
    }
}
