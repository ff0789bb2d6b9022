import Dispatch
import IOCore
import Testing

@Suite struct HistogramTests {
    @Test func valueOnABoundFallsIntoItsBucket() {
        let histogram = Histogram(bounds: HistogramBounds(upper: [1, 10]))
        for value: UInt64 in [0, 1, 2, 10, 11, .max] { histogram.record(value) }
        let snapshot = histogram.snapshot()
        #expect(snapshot.counts == [2, 2, 2])
        #expect(snapshot.count == 6)
        #expect(snapshot.sum == 23, "wraps")
    }

    @Test func snapshotsOfSeveralThreadsAddUp() {
        let one = Histogram(bounds: .frameOperations)
        let other = Histogram(bounds: .frameOperations)
        one.record(1)
        other.record(4_096)
        other.record(4_097)
        var sum = one.snapshot()
        sum.add(other.snapshot())
        #expect(sum.count == 3 && sum.sum == 8_194)
        #expect(sum.counts.first == 1 && sum.counts.suffix(2) == [1, 1])
    }

    @Test func recordsOfSeveralThreadsAreAllCounted() {
        let histogram = Histogram(bounds: .frameBytes)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for value in 0 ..< 1_000 {
                histogram.record(UInt64(value))
                if value % 100 == 0 { _ = histogram.snapshot() }
            }
        }
        #expect(histogram.snapshot().count == 8_000)
        #expect(histogram.snapshot().sum == 8 * 499_500)
    }

    @Test func largestNumberOfBoundsIsAccepted() {
        let bounds = HistogramBounds(upper: (1 ... 31).map { UInt64($0) })
        let histogram = Histogram(bounds: bounds)
        histogram.record(32)
        #expect(histogram.snapshot().counts.last == 1)
    }
}
