import IOSimulation
import Testing

@testable import Simulator

/// Nodes on one replicated log, with the elections that a plan asks for.
@Suite struct ReplicatedScenarioTests {
    /// A world that has run a plan, as far as `steps`.
    private static func run(
        _ seed: UInt64, steps: Int, _ faults: [PlannedFault]
    ) -> (world: World, probe: FollowerProbe, checker: ClusterChecker) {
        let world = World(
            SimulationPlan(seed: seed, scenario: .replicated, steps: steps, faults: faults))
        guard let topology = world.topology as? ReplicatedTopology else {
            preconditionFailure("the scenario has its topology")
        }
        Workload.install(in: world)
        let probe = FollowerProbe(topology)
        let checker = ClusterChecker(topology)
        world.add(probe)
        world.add(checker)
        while world.stepNumber < steps, world.violation == nil { world.step() }
        return (world, probe, checker)
    }

    @Test(arguments: 1 ... 4 as ClosedRange<UInt64>)
    func followersRejectWritesAndHaveTheStateOfTheLeader(seed: UInt64) {
        let (world, probe, checker) = Self.run(seed, steps: 6_000, [])
        #expect(world.violation == nil)
        #expect(probe.rejections > 0)
        #expect(checker.comparisons > 0)
    }

    @Test func electionsChangeWhoLeadsAndLoseNoState() {
        var struck: [String: Int] = [:]
        let faults = (1 ..< 12).map { number in
            PlannedFault(
                step: number * 500,
                number.isMultiple(of: 3) ? .twoLeaders(steps: 300) : .deposeLeader(kept: number))
        }
        for seed in 1 ... 4 as ClosedRange<UInt64> {
            let (world, _, checker) = Self.run(seed, steps: 6_000, faults)
            #expect(world.violation == nil, "seed \(seed)")
            #expect(checker.comparisons > 0)
            struck.merge(world.counts.faults, uniquingKeysWith: +)
        }
        // A fault that finds no leader, or nobody who could be one, does nothing.
        #expect(struck["deposeLeader", default: 0] > 0)
        #expect(struck["twoLeaders", default: 0] > 0)
    }

    @Test func leaderThatIsKilledIsFollowedByAnother() {
        let faults = (1 ..< 8).map { PlannedFault(step: $0 * 700, node: $0 % 2, .kill) }
        let outcome = Simulation.run(
            SimulationPlan(seed: 7, scenario: .replicated, steps: 6_000, faults: faults))
        #expect(outcome.violation == nil)
        #expect(outcome.summary.counts.starts > 7)
    }
}
