import Foundation
import Simulator

/// One plan, with all that helps to understand it.
struct Replay {
    private let plan: SimulationPlan

    init(_ plan: SimulationPlan) { self.plan = plan }

    /// - Returns: 0 if every promise is kept.
    func run(isShrinking: Bool) -> Int32 {
        if isShrinking {
            Console.print(Finding.shrunk(self.plan).text)
            return 1
        }
        // A plan that was named by its seed alone, with all that is in it.
        Console.print("repeat: \(self.plan.command)")
        RunLimit.begin()
        let outcome = Simulation.run(self.plan)
        for line in outcome.summary.tail { Console.print(line) }
        Console.print(RunReport(outcome, of: self.plan.scenario).line)
        Console.print("trace \(String(outcome.summary.trace, radix: 16))")
        guard let violation = outcome.violation else {
            Console.print("every promise was kept")
            return 0
        }
        Console.print("\(violation.checker): \(violation.text)")
        return 1
    }
}
