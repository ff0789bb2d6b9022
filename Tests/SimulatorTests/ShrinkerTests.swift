import Simulator
import Testing

/// What is left of a failing plan.
@Suite struct ShrinkerTests {
    private static let plan = SimulationPlan(
        seed: 1, scenario: .local, steps: 4_000,
        faults: (0 ..< 12).map { PlannedFault(step: 100 * $0, .readError($0 + 1)) })

    private static func numbers(_ plan: SimulationPlan) -> [Int] {
        plan.faults.map(\.step).map { $0 / 100 }
    }

    @Test func faultsThatTheFailureNeedsAreLeft() {
        let shrinker = Shrinker { plan in
            Set(Self.numbers(plan)).isSuperset(of: [3, 8]) ? "digest" : nil
        }
        let small = shrinker.shrink(Self.plan, breaking: "digest")
        #expect(Self.numbers(small) == [3, 8])
    }

    @Test func stepsThatTheFailureNeedsAreLeft() {
        let shrinker = Shrinker { plan in plan.steps >= 1_234 ? "digest" : nil }
        let small = shrinker.shrink(Self.plan, breaking: "digest")
        #expect(small.steps == 1_234)
        #expect(small.faults.isEmpty)
    }

    @Test func failureOfAnotherPromiseIsNotTaken() {
        let shrinker = Shrinker { plan in plan.faults.count == 12 ? "digest" : "liveness" }
        #expect(shrinker.shrink(Self.plan, breaking: "digest").faults == Self.plan.faults)
    }

    @Test func shrinkEndsAfterItsRuns() {
        var runs = 0
        let shrinker = Shrinker(runsMax: 5) { _ in
            runs += 1
            return nil
        }
        #expect(shrinker.shrink(Self.plan, breaking: "digest") == Self.plan)
        #expect(runs == 5)
    }
}
