import IOCore

extension NextStep {
    /// The earlier of two.
    func sooner(_ other: NextStep) -> NextStep {
        switch (self, other) {
        case (.now, _), (_, .now): .now
        case (.after(let first), .after(let second)): .after(nanoseconds: min(first, second))
        case (.after, _): self
        case (_, .after): other
        case (.whenWoken, _), (_, .whenWoken): .whenWoken
        case (.ended, .ended): .ended
        }
    }
}
