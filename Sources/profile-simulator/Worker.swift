import Simulator

/// Runs seeds in this process and tells each one's begin and end on standard output.
enum Worker {
    static func run(_ scenario: Scenario, seeds: Range<UInt64>, canary: String?) {
        for seed in seeds {
            // Whoever reads knows by this line which seed has killed the process.
            Console.print("start \(scenario.rawValue) \(seed)")
            RunLimit.begin()
            let plan = SimulationPlan.generated(seed: seed, scenario: scenario, canary: canary)
            Console.print(RunReport(Simulation.run(plan), of: scenario).line)
        }
    }
}
