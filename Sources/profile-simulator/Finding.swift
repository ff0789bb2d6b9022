import Foundation
import Simulator

/// A plan that breaks a promise, and what it breaks.
struct Finding {
    /// Name of the checker that stands for a process that has ended by itself.
    static let crash = "crash"
    /// The same for one that does not come to an end.
    static let hang = "hang"

    var plan: SimulationPlan
    var violation: Violation

    var text: String {
        """
        seed \(self.plan.seed) \(self.plan.scenario.rawValue): \(self.violation.checker): \
        \(self.violation.text)
          faults: \(self.plan.faults.map(\.description).joined(separator: ","))
          repeat: \(self.plan.command)
        """
    }

    /// A failing plan made small. Each run is a process of its own: some of them crash.
    static func shrunk(_ plan: SimulationPlan) -> Finding {
        guard let violation = Self.violation(of: plan) else {
            return Finding(plan: plan, violation: Violation("none", "every promise was kept"))
        }
        let shrinker = Shrinker { Self.violation(of: $0)?.checker }
        let small = shrinker.shrink(plan, breaking: violation.checker)
        return Finding(plan: small, violation: Self.violation(of: small) ?? violation)
    }

    /// What a plan breaks when a process of its own runs it.
    private static func violation(of plan: SimulationPlan) -> Violation? {
        var arguments = [
            "replay", "--seed", "\(plan.seed)", "--scenario", plan.scenario.rawValue, "--steps",
            "\(plan.steps)", "--faults", plan.faults.map(\.description).joined(separator: ","),
        ]
        if let canary = plan.canary { arguments += ["--canary", canary] }
        do {
            let (process, output) = try Processes.start(arguments)
            let timer = DispatchSource.makeTimerSource()
            timer.schedule(deadline: .now() + RunLimit.realSeconds)
            let id = process.processIdentifier
            timer.setEventHandler { kill(id, SIGKILL) }
            timer.activate()
            let text = String(decoding: output.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            timer.cancel()
            for line in text.split(separator: "\n") {
                if let report = RunReport(line: line) { return report.violation }
            }
            return RunLimit.ended(process)
                ? Violation(Self.hang, RunLimit.text)
                : Violation(Self.crash, "the process has ended by signal or trap")
        } catch {
            return Violation("simulator", "cannot start a process: \(error)")
        }
    }
}
