/// The outcome of one run as a line of text: how a process that runs plans tells the one that
/// counts them.
package struct RunReport: Equatable, Sendable {
    package var scenario: Scenario
    package var seed: UInt64
    package var trace: UInt64
    package var counts: RunCounts
    package var violation: Violation?

    package init(_ outcome: RunOutcome, of scenario: Scenario) {
        self.scenario = scenario
        self.seed = outcome.summary.seed
        self.trace = outcome.summary.trace
        self.counts = outcome.summary.counts
        self.violation = outcome.violation
    }

    /// Fields: end, scenario, seed, trace, steps, steps of healing, nanoseconds, starts,
    /// rejections, calls, faults, checker (`-` for a run that has passed), text.
    package var line: String {
        let text = (self.violation?.text ?? "").split(whereSeparator: \.isNewline)
            .joined(separator: " | ")
        return [
            "end", self.scenario.rawValue, "\(self.seed)", String(self.trace, radix: 16),
            "\(self.counts.steps)", "\(self.counts.healSteps)",
            "\(self.counts.simulatedNanoseconds)", "\(self.counts.starts)",
            "\(self.counts.rejections)", Self.text(self.counts.calls),
            Self.text(self.counts.faults), self.violation?.checker ?? "-", text,
        ].joined(separator: " ")
    }

    /// - Returns: `nil` if the line is no report.
    package init?(line: some StringProtocol) {
        let fields = line.split(separator: " ", maxSplits: 12, omittingEmptySubsequences: false)
        guard fields.count == 13, fields[0] == "end",
            let scenario = Scenario(rawValue: String(fields[1])), let seed = UInt64(fields[2]),
            let trace = UInt64(fields[3], radix: 16), let steps = Int(fields[4]),
            let healSteps = Int(fields[5]), let nanoseconds = UInt64(fields[6]),
            let starts = Int(fields[7]), let rejections = Int(fields[8]),
            let calls = Self.counts(fields[9]), let faults = Self.counts(fields[10])
        else { return nil }
        self.scenario = scenario
        self.seed = seed
        self.trace = trace
        self.counts = RunCounts()
        self.counts.steps = steps
        self.counts.healSteps = healSteps
        self.counts.simulatedNanoseconds = nanoseconds
        self.counts.starts = starts
        self.counts.rejections = rejections
        self.counts.calls = calls
        self.counts.faults = faults
        self.violation =
            fields[11] == "-" ? nil : Violation(String(fields[11]), String(fields[12]))
    }

    /// `name:count,name:count`, or `-`; in ascending order of the names.
    package static func text(_ counts: [String: Int]) -> String {
        if counts.isEmpty { return "-" }
        return counts.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }
            .joined(separator: ",")
    }

    private static func counts(_ text: some StringProtocol) -> [String: Int]? {
        if text == "-" { return [:] }
        var counts: [String: Int] = [:]
        for part in text.split(separator: ",") {
            let fields = part.split(separator: ":")
            guard fields.count == 2, let count = Int(fields[1]) else { return nil }
            counts[String(fields[0])] = count
        }
        return counts
    }
}
