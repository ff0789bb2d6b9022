/// What came of a run.
package enum RunOutcome: Equatable, Sendable {
    case passed(RunSummary)
    case failed(Violation, RunSummary)

    package var summary: RunSummary {
        switch self {
        case .passed(let summary), .failed(_, let summary): summary
        }
    }

    package var violation: Violation? {
        if case .failed(let violation, _) = self { violation } else { nil }
    }
}

/// What a run did.
package struct RunSummary: Equatable, Sendable {
    package var seed: UInt64
    /// Hash of every step.
    package var trace: UInt64
    package var counts: RunCounts
    /// Calls by their methods.
    package var methods: [String: Int] = [:]
    /// The last steps, one a line.
    package var tail: [String]

    package init(
        seed: UInt64, trace: UInt64, counts: RunCounts, methods: [String: Int] = [:],
        tail: [String]
    ) {
        self.seed = seed
        self.trace = trace
        self.counts = counts
        self.methods = methods
        self.tail = tail
    }
}
