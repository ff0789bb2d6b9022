import IOSimulation
import Simulator
import Testing

/// The zones of a register's values, against a search of all orders.
@Suite struct RegisterHistoryTests {
    private struct Step {
        var isWrite: Bool
        var value: Int
        var begin: Int
        var end: Int
        /// A write without a response.
        var isUnknown = false
    }

    /// Whether some order explains the steps, by trying all of them.
    private static func search(_ steps: [Step], _ value: Int = 0) -> Bool {
        guard steps.contains(where: { !$0.isUnknown }) else { return true }
        let firstEnd = steps.map { $0.isUnknown ? .max : $0.end }.min() ?? .max
        for index in steps.indices where steps[index].begin <= firstEnd {
            let step = steps[index]
            guard step.isWrite || step.value == value else { continue }
            var rest = steps
            rest.remove(at: index)
            if self.search(rest, step.value) { return true }
        }
        return false
    }

    private static func zones(_ steps: [Step]) -> Bool {
        var history = RegisterHistory(initial: 0)
        for step in steps where step.isWrite {
            history.write(step.value, begin: step.begin, end: step.isUnknown ? nil : step.end)
        }
        for step in steps where !step.isWrite {
            guard history.read(step.value, begin: step.begin, end: step.end) else { return false }
        }
        return history.conflict() == nil
    }

    /// Up to seven steps with all begins and ends different.
    private static func steps(_ random: inout SeededRandom) -> [Step] {
        let count = 2 + random.below(6)
        var times = Array(0 ..< 2 * count)
        times.shuffle(using: &random)
        var written = 0
        var steps: [Step] = []
        for index in 0 ..< count {
            let pair = [times[2 * index], times[2 * index + 1]].sorted()
            // Short calls, so that order matters.
            let end = min(pair[1], pair[0] + 1 + random.below(2 * count))
            let isWrite = random.below(2) == 0
            if isWrite { written += 1 }
            steps.append(
                Step(
                    isWrite: isWrite, value: written, begin: 2 * pair[0], end: 2 * end + 1,
                    isUnknown: isWrite && random.below(4) == 0))
        }
        for index in steps.indices where !steps[index].isWrite {
            steps[index].value = random.below(written + 1)
        }
        return steps
    }

    @Test func zonesAgreeWithASearchOfAllOrders() {
        var random = SeededRandom(seed: 17)
        var accepted = 0
        for _ in 0 ..< 30_000 {
            let steps = Self.steps(&random)
            let isLinear = Self.search(steps)
            #expect(Self.zones(steps) == isLinear, "\(steps)")
            accepted += isLinear ? 1 : 0
        }
        #expect(accepted > 3_000 && accepted < 27_000)
    }

    @Test func staleReadAfterANewerOneIsAConflict() {
        var history = RegisterHistory(initial: 0)
        history.write(1, begin: 1, end: nil)
        let isFirstPossible = history.read(1, begin: 2, end: 3)
        #expect(isFirstPossible)
        #expect(history.conflict() == nil)
        let isSecondPossible = history.read(0, begin: 4, end: 5)
        #expect(isSecondPossible)
        #expect(history.conflict() != nil)
    }

    @Test func valueThatNobodyHasWrittenIsRefused() {
        var history = RegisterHistory(initial: 0)
        let isPossible = history.read(7, begin: 1, end: 2)
        history.write(7, begin: 3, end: 4)
        let isPossibleAhead = history.read(7, begin: 1, end: 2)
        #expect(!isPossible && !isPossibleAhead)
    }
}
