import Simulator
import Testing

/// The line by which a process tells of a run.
@Suite struct RunReportTests {
    private static func summary() -> RunSummary {
        var counts = RunCounts()
        counts.steps = 3_000
        counts.healSteps = 400
        counts.simulatedNanoseconds = 5_000_000_000
        counts.starts = 3
        counts.rejections = 1
        counts.calls = ["status-0": 12, "unknown": 3]
        counts.faults = ["kill": 2]
        return RunSummary(seed: 77, trace: 0xABCD, counts: counts, tail: [])
    }

    @Test func reportsAreReadBackFromTheirLines() {
        for outcome in [
            RunOutcome.passed(Self.summary()),
            .failed(Violation("digest", "another state at lsn 3"), Self.summary()),
            .passed(RunSummary(seed: 1, trace: 0, counts: RunCounts(), tail: [])),
        ] {
            let report = RunReport(outcome, of: .replicated)
            #expect(RunReport(line: report.line) == report)
        }
    }

    @Test func textOfAViolationStaysOnOneLine() {
        let outcome = RunOutcome.failed(Violation("reads", "a\nb"), Self.summary())
        let report = RunReport(line: RunReport(outcome, of: .local).line)
        #expect(report?.violation == Violation("reads", "a | b"))
    }

    @Test(arguments: ["", "end", "end local 1 g 1 1 1 1 1 - - - ", "start local 1"])
    func otherLinesAreNoReports(line: String) {
        #expect(RunReport(line: line) == nil)
    }
}
