import Simulator

/// `--name value` and `--flag`, each once.
struct Options {
    private static let flags: Set<String> = ["json", "shrink"]

    private var values: [String: String] = [:]

    init(_ arguments: ArraySlice<String>) throws(UsageError) {
        var rest = arguments
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                throw UsageError(text: "unexpected \(argument)")
            }
            let name = String(argument.dropFirst(2))
            guard self.values[name] == nil else {
                throw UsageError(text: "\(argument) is given twice")
            }
            if Self.flags.contains(name) {
                self.values[name] = ""
            } else if let value = rest.popFirst() {
                self.values[name] = value
            } else {
                throw UsageError(text: "\(argument) needs a value")
            }
        }
    }

    mutating func text(_ name: String) -> String? { self.values.removeValue(forKey: name) }

    mutating func flag(_ name: String) -> Bool { self.text(name) != nil }

    mutating func number(_ name: String) throws(UsageError) -> UInt64? {
        guard let text = self.text(name) else { return nil }
        guard let number = UInt64(text) else {
            throw UsageError(text: "--\(name) is no number: \(text)")
        }
        return number
    }

    mutating func real(_ name: String) throws(UsageError) -> Double? {
        guard let text = self.text(name) else { return nil }
        guard let number = Double(text), number > 0, number.isFinite else {
            throw UsageError(text: "--\(name) is no time: \(text)")
        }
        return number
    }

    mutating func scenario(default scenario: Scenario) throws(UsageError) -> Scenario {
        guard let text = self.text("scenario") else { return scenario }
        guard let found = Scenario(rawValue: text) else {
            throw UsageError(text: "unknown scenario \(text)")
        }
        return found
    }

    /// One or `both`.
    mutating func scenarios() throws(UsageError) -> [Scenario] {
        if self.values["scenario"] == nil || self.values["scenario"] == "both" {
            self.values["scenario"] = nil
            return Scenario.allCases
        }
        return [try self.scenario(default: .local)]
    }

    func expectNothingLeft() throws(UsageError) {
        if let name = self.values.keys.min() { throw UsageError(text: "unknown option --\(name)") }
    }
}
