import Simulator

extension SimulationPlan {
    /// The command that repeats it bit for bit.
    var command: String {
        let faults = self.faults.map(\.description).joined(separator: ",")
        return "profile-simulator replay --seed \(self.seed) "
            + "--scenario \(self.scenario.rawValue) --steps \(self.steps) --faults '\(faults)'"
            + (self.canary.map { " --canary \($0)" } ?? "")
    }
}
