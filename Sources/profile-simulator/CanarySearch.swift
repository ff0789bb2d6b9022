#if CANARIES
    import Foundation
    import Simulator

    /// Looks for the first seed that finds one deliberate fault.
    ///
    /// The runs are in a process of their own, since a sabotaged node may trap; such an end counts
    /// as found.
    struct CanarySearch {
        private let canary: CanaryChoice
        private let seeds: UInt64

        init(_ options: inout Options) throws(UsageError) {
            let name = options.text("name") ?? ""
            guard let canary = CanaryChoice.all.first(where: { $0.name == name }) else {
                throw UsageError(text: "unknown canary \(name)")
            }
            self.canary = canary
            self.seeds = try options.number("seeds") ?? 2_000
        }

        /// Prints one line.
        ///
        /// - Returns: 0 if it was found, and by nothing that is found without it too.
        func run() -> Int32 {
            let started = Date()
            guard let (seed, violation) = self.firstViolation() else {
                Console.print("\(self.canary.name): not caught within \(self.seeds) seeds")
                return 1
            }
            let plan = SimulationPlan.generated(seed: seed, scenario: self.canary.scenario)
            if let other = Simulation.run(plan).violation {
                Console.print(
                    "\(self.canary.name): seed \(seed) fails without it: \(other.checker): "
                        + other.text)
                return 1
            }
            let seconds = String(format: "%.0f", Date().timeIntervalSince(started))
            Console.print(
                "\(self.canary.name): caught at seed \(seed) by \(violation.checker) in "
                    + "\(seconds) s: \(violation.text)")
            return 0
        }

        private func firstViolation() -> (seed: UInt64, Violation)? {
            let arguments = [
                "work", "--scenario", self.canary.scenario.rawValue, "--from", "1", "--seeds",
                "\(self.seeds)", "--canary", self.canary.name,
            ]
            guard let (process, output) = try? Processes.start(arguments) else {
                return (0, Violation("simulator", "cannot start a process"))
            }
            defer { process.terminate() }
            var current: UInt64 = 0
            var text = Data()
            while true {
                let bytes = output.availableData
                guard !bytes.isEmpty else { break }
                text += bytes
                while let end = text.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = String(decoding: text[..<end], as: UTF8.self)
                    text.removeSubrange(...end)
                    if let report = RunReport(line: line) {
                        if let violation = report.violation { return (report.seed, violation) }
                    } else if line.hasPrefix("start ") {
                        current = line.split(separator: " ").last.flatMap { UInt64($0) } ?? 0
                    }
                }
            }
            process.waitUntilExit()
            guard process.terminationStatus != 0 else { return nil }
            return (current, Violation(Finding.crash, "the process has ended by signal or trap"))
        }
    }
#endif
