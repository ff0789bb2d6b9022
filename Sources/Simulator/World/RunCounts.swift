/// What a run did, in numbers.
package struct RunCounts: Equatable, Sendable {
    package var steps = 0
    /// Steps until the healed world was at rest.
    package var healSteps = 0
    package var simulatedNanoseconds: UInt64 = 0
    /// Processes that served.
    package var starts = 0
    /// Starts that were rejected for damage, errors or want of space.
    package var rejections = 0
    /// Calls by their outcome.
    package var calls: [String: Int] = [:]
    /// Faults that struck, by their names.
    package var faults: [String: Int] = [:]

    package init() {}

    package mutating func add(_ other: RunCounts) {
        self.steps += other.steps
        self.healSteps += other.healSteps
        self.simulatedNanoseconds += other.simulatedNanoseconds
        self.starts += other.starts
        self.rejections += other.rejections
        self.calls.merge(other.calls, uniquingKeysWith: +)
        self.faults.merge(other.faults, uniquingKeysWith: +)
    }
}
