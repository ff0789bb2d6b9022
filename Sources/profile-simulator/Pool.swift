import Foundation
import Simulator

/// Runs seeds in processes of their own, as many at once as there are processors, and adds up.
///
/// A world is stepped by one thread; processes rather than threads, because a trap of the product
/// is a finding and must not end the search.
final class Pool {
    /// Seeds of one process: enough that its start costs little, few enough that what it leaks does
    /// not matter.
    private static let seedsPerProcess: UInt64 = 40
    /// Findings after which the search ends: they are likely to have one cause.
    private static let findingsMax = 20
    /// Findings that are made small.
    private static let shrunkMax = 5

    private struct Running {
        var process: Process
        var output: FileHandle
        var scenario: Scenario
        /// Seeds that have not come to an end.
        var seeds: Range<UInt64>
        var text = Data()
        var current: UInt64?
        var lastSign = Date()
    }

    private let seeds: SeedRange
    private let options: RunOptions
    private let started = Date()
    private var running: [Running] = []
    /// What is left to do, by scenario: seeds that were given out and not run come first.
    private var returned: [(Scenario, Range<UInt64>)] = []
    private var next: [UInt64]
    private var counts = RunCounts()
    private var seedsRun = 0
    private var findings: [Finding] = []

    init(_ seeds: SeedRange, _ options: RunOptions) {
        self.seeds = seeds
        self.options = options
        self.next = seeds.scenarios.map { _ in seeds.first }
    }

    /// - Returns: 0 if every seed keeps every promise.
    func run() -> Int32 {
        let width = max(1, ProcessInfo.processInfo.activeProcessorCount)
        while true {
            while self.running.count < width, let (scenario, range) = self.takeWork() {
                guard self.start(scenario, range) else { return 1 }
            }
            guard !self.running.isEmpty else { break }
            self.readOnce()
        }
        let shrunk = self.findings.prefix(Self.shrunkMax).map { Finding.shrunk($0.plan) }
        for finding in shrunk { Console.print(finding.text) }
        for finding in self.findings.dropFirst(Self.shrunkMax) { Console.print(finding.text) }
        self.printSum()
        return self.findings.isEmpty ? 0 : 1
    }

    // MARK: Work

    private var isOver: Bool {
        if self.findings.count >= Self.findingsMax { return true }
        guard let hours = self.seeds.hours else { return false }
        return Date().timeIntervalSince(self.started) >= hours * 3_600
    }

    private func takeWork() -> (Scenario, Range<UInt64>)? {
        guard !self.isOver else { return nil }
        if !self.returned.isEmpty { return self.returned.removeFirst() }
        // The scenario that is behind.
        guard let index = self.next.indices.min(by: { self.next[$0] < self.next[$1] }) else {
            return nil
        }
        let first = self.next[index]
        let end = min(first &+ Self.seedsPerProcess, self.seeds.first &+ self.seeds.count)
        guard first < end else { return nil }
        self.next[index] = end
        return (self.seeds.scenarios[index], first ..< end)
    }

    private func start(_ scenario: Scenario, _ range: Range<UInt64>) -> Bool {
        var arguments = [
            "work", "--scenario", scenario.rawValue, "--from", "\(range.lowerBound)", "--seeds",
            "\(range.count)",
        ]
        if let canary = self.options.canary { arguments += ["--canary", canary] }
        do {
            let (process, output) = try Processes.start(arguments)
            self.running.append(
                Running(process: process, output: output, scenario: scenario, seeds: range))
            return true
        } catch {
            Console.print("cannot start a process: \(error)")
            return false
        }
    }

    // MARK: What the processes say

    /// Waits for output of any process, at most a second, and takes it.
    private func readOnce() {
        var waits = self.running.map {
            pollfd(fd: $0.output.fileDescriptor, events: Int16(POLLIN), revents: 0)
        }
        poll(&waits, nfds_t(waits.count), 1_000)
        for index in self.running.indices.reversed() {
            if waits[index].revents != 0 {
                let bytes = self.running[index].output.availableData
                if bytes.isEmpty {
                    self.ended(self.running.remove(at: index))
                    continue
                }
                self.running[index].lastSign = Date()
                self.running[index].text += bytes
                self.takeLines(&self.running[index])
            } else if Date().timeIntervalSince(self.running[index].lastSign)
                > RunLimit.realSeconds
            {
                kill(self.running[index].process.processIdentifier, SIGKILL)
            }
        }
    }

    private func takeLines(_ running: inout Running) {
        while let end = running.text.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: running.text[..<end], as: UTF8.self)
            running.text.removeSubrange(...end)
            if let report = RunReport(line: line) {
                self.take(report)
                running.current = nil
                running.seeds = report.seed + 1 ..< running.seeds.upperBound
            } else if line.hasPrefix("start ") {
                running.current = line.split(separator: " ").last.flatMap { UInt64($0) }
            }
        }
    }

    private func take(_ report: RunReport) {
        self.seedsRun += 1
        self.counts.add(report.counts)
        guard let violation = report.violation else { return }
        self.add(violation, report.seed, report.scenario)
    }

    private func add(_ violation: Violation, _ seed: UInt64, _ scenario: Scenario) {
        let finding = Finding(
            plan: .generated(seed: seed, scenario: scenario, canary: self.options.canary),
            violation: violation)
        self.findings.append(finding)
        Console.print("seed \(seed) \(scenario.rawValue): \(violation.checker): \(violation.text)")
    }

    /// A process has closed its output: it is done, or a seed has killed it.
    private func ended(_ running: Running) {
        running.process.waitUntilExit()
        guard let seed = running.current else { return }
        self.seedsRun += 1
        let violation =
            RunLimit.ended(running.process)
            ? Violation(Finding.hang, RunLimit.text)
            : Violation(
                Finding.crash, "the process has ended, status \(running.process.terminationStatus)")
        self.add(violation, seed, running.scenario)
        let rest = seed + 1 ..< running.seeds.upperBound
        if !rest.isEmpty { self.returned.append((running.scenario, rest)) }
    }

    // MARK: The sum

    private func printSum() {
        let seconds = Date().timeIntervalSince(self.started)
        let simulated = Double(self.counts.simulatedNanoseconds) / 1e9
        let rate = simulated / max(seconds, 0.001)
        if self.options.isJSON {
            let sum: [String: Any] = [
                "seeds": self.seedsRun, "steps": self.counts.steps,
                "heal_steps": self.counts.healSteps, "seconds": seconds,
                "simulated_seconds": simulated, "simulated_seconds_per_second": rate,
                "starts": self.counts.starts, "rejections": self.counts.rejections,
                "calls": self.counts.calls, "faults": self.counts.faults,
                "findings": self.findings.count,
            ]
            let options: JSONSerialization.WritingOptions = [.sortedKeys]
            do {
                let data = try JSONSerialization.data(withJSONObject: sum, options: options)
                Console.print(String(decoding: data, as: UTF8.self))
            } catch { preconditionFailure("names and numbers are JSON: \(error)") }
            return
        }
        let figures = [
            "\(self.seedsRun) seeds", "\(self.counts.steps) steps",
            String(format: "%.0f simulated seconds", simulated),
            String(format: "%.0f of them a second", rate), String(format: "%.0f s", seconds),
            "\(self.counts.starts) starts", "\(self.counts.rejections) rejected",
        ]
        Console.print("simulation: " + figures.joined(separator: ", "))
        Console.print("  calls: \(RunReport.text(self.counts.calls))")
        Console.print("  faults: \(RunReport.text(self.counts.faults))")
        Console.print("  findings: \(self.findings.count)")
    }
}
