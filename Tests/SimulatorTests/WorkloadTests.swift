import ProfileService
import Simulator
import Testing

/// What the clients of a few runs do.
@Suite struct WorkloadTests {
    /// No RPC is without a client that calls it.
    @Test func everyRPCIsCalled() {
        var called: Set<String> = []
        for seed in 1 ... 12 as ClosedRange<UInt64> {
            let plan = SimulationPlan(seed: seed, scenario: .local, steps: 6_000, faults: [])
            let outcome = Simulation.run(plan)
            #expect(outcome.violation == nil, "seed \(seed)")
            called.formUnion(outcome.summary.methods.keys.map { Workload.path(of: $0) })
        }
        let all = Set(RPCTable.all.map(\.descriptor.path))
        #expect(all.count == 46)
        #expect(all.subtracting(called) == [])
        #expect(called.subtracting(all) == [])
    }
}
