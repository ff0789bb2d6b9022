import IOSimulation

/// All that one run follows from: the same plan gives the same run, step by step, in any process.
///
/// The faults are data, so that a failing run can be shrunk. Random streams are separate (the order
/// of the components, each client, the node's own secrets), so that a fault that is taken out of
/// the list does not shift what the others choose.
package struct SimulationPlan: Equatable, Sendable {
    package var seed: UInt64
    package var scenario: Scenario
    /// Steps with faults; the steps in which the world heals follow.
    package var steps: Int
    /// In ascending order of their steps.
    package var faults: [PlannedFault]
    /// Name of the sabotage that the product runs with; `nil`: none.
    package var canary: String?

    package init(
        seed: UInt64, scenario: Scenario, steps: Int, faults: [PlannedFault], canary: String? = nil
    ) {
        self.seed = seed
        self.scenario = scenario
        self.steps = steps
        self.faults = faults
        self.canary = canary
    }
}

/// Which log the nodes of a world are on.
package enum Scenario: String, CaseIterable, Sendable {
    /// One node with segments in its directory.
    case local
    /// Several nodes on a simulated replicated log.
    case replicated
}

/// A fault and the step at which it strikes.
package struct PlannedFault: Equatable, Sendable {
    /// Strikes before this step, 0-based.
    package var step: Int
    /// The node that it strikes.
    package var node: Int
    package var fault: Fault

    package init(step: Int, node: Int = 0, _ fault: Fault) {
        self.step = step
        self.node = node
        self.fault = fault
    }
}

/// A stream of random numbers of a plan, apart from every other.
package enum RandomStream: UInt64 {
    case order
    case settings
    case faults
    case secrets
    case lives
    case clients
    case elections

    /// - Parameter number: Of several streams of a kind, such as one per client.
    package func random(of seed: UInt64, _ number: Int = 0) -> SeededRandom {
        var mixed = SeededRandom(seed: seed &+ self.rawValue &* 0xD6E8_FEB8_6659_FD93)
        return SeededRandom(seed: mixed.next() &+ UInt64(number) &* 0xA24B_AED4_963E_E407)
    }
}
