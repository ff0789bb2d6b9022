import IOSimulation
import Testing

@testable import GRPCTransport

@Suite struct ByteQueueTests {
    @Test func bytesLeaveInTheOrderInWhichTheyCame() {
        var random = SeededRandom(seed: 11)
        var queue = ByteQueue(capacity: 64)
        var appended: [UInt8] = []
        var consumed: [UInt8] = []
        for _ in 0 ..< 3_000 {
            let piece = (0 ..< random.below(40)).map { _ in UInt8(random.below(256)) }
            appended += piece
            piece.withUnsafeBytes { queue.append($0) }
            let count = random.below(queue.count + 1)
            consumed += queue.bytes[..<count]
            queue.consume(count)
            #expect(queue.count == appended.count - consumed.count)
        }
        consumed += queue.bytes
        #expect(consumed == appended)
    }

    @Test func aQueueThatIsNeverEmptyKeepsItsSize() {
        // A stream that refills its output before the last byte has left.
        var queue = ByteQueue(capacity: 64)
        let piece = [UInt8](repeating: 7, count: 1_000)
        piece.withUnsafeBytes { queue.append($0) }
        for _ in 0 ..< 1_000 {
            piece.withUnsafeBytes { queue.append($0) }
            queue.consume(1_000)
        }
        #expect(queue.count == 1_000 && queue.buffer.capacity <= 8_000)
    }

    @Test func aResetGivesStorageBack() {
        var queue = ByteQueue(capacity: 64)
        [UInt8](repeating: 1, count: 100_000).withUnsafeBytes { queue.append($0) }
        queue.reset(keepingCapacity: 4_096)
        #expect(queue.isEmpty && queue.buffer.capacity == 4_096)
    }
}
