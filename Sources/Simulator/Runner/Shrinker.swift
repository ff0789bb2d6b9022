/// Makes a failing plan small: fewer faults, then fewer steps, as long as the same promise is
/// broken.
package struct Shrinker {
    /// Runs that a shrink may cost.
    private let runsMax: Int
    /// Runs a plan and says which promise it breaks: the name of a checker; `nil`: none.
    private let failure: (SimulationPlan) -> String?

    package init(runsMax: Int = 200, failure: @escaping (SimulationPlan) -> String?) {
        self.runsMax = runsMax
        self.failure = failure
    }

    /// The smallest plan that was found to break the same promise.
    package func shrink(_ plan: SimulationPlan, breaking promise: String) -> SimulationPlan {
        var search = Search(plan: plan, promise: promise, runsLeft: self.runsMax, self.failure)
        search.removeFaults()
        search.removeSteps()
        // Fewer steps can make further faults superfluous: those that no longer strike do.
        search.removeFaults()
        return search.plan
    }

    private struct Search {
        private(set) var plan: SimulationPlan
        private let promise: String
        private var runsLeft: Int
        private let failure: (SimulationPlan) -> String?

        init(
            plan: SimulationPlan, promise: String, runsLeft: Int,
            _ failure: @escaping (SimulationPlan) -> String?
        ) {
            self.plan = plan
            self.promise = promise
            self.runsLeft = runsLeft
            self.failure = failure
        }

        /// Takes a smaller plan if that breaks the same promise.
        private mutating func take(_ smaller: SimulationPlan) -> Bool {
            guard self.runsLeft > 0 else { return false }
            self.runsLeft -= 1
            guard self.failure(smaller) == self.promise else { return false }
            self.plan = smaller
            return true
        }

        /// Removes runs of faults, half of all at first, single ones at last.
        mutating func removeFaults() {
            var count = (self.plan.faults.count + 1) / 2
            while count > 0 {
                var index = 0
                while index < self.plan.faults.count {
                    var smaller = self.plan
                    let end = min(index + count, smaller.faults.count)
                    smaller.faults.removeSubrange(index ..< end)
                    if !self.take(smaller) { index = end }
                }
                count = count == 1 ? 0 : (count + 1) / 2
            }
        }

        /// Ends the steps with faults earlier, by halves of what is left.
        mutating func removeSteps() {
            var cut = self.plan.steps / 2
            while cut > 0 {
                var smaller = self.plan
                smaller.steps -= cut
                smaller.faults.removeAll { $0.step >= smaller.steps }
                if smaller.steps <= 0 || !self.take(smaller) { cut /= 2 }
            }
        }
    }
}
