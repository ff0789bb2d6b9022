import Testing

@testable import Storage

@Suite struct FeedMemoryTests {
    @Test func memoryOfADroppedBlockServesTheNextOne() {
        let memory = FeedMemory(blockBytes: 4_096, bytesMax: 8_192)
        var block: FeedBlock? = FeedBlock(capacity: 4_096, from: memory)
        let place = block?.bytes(0 ..< 1).baseAddress
        block = nil
        block = FeedBlock(capacity: 4_096, from: memory)
        #expect(block?.bytes(0 ..< 1).baseAddress == place)
        // A second block while the first is in use has memory of its own.
        let other = FeedBlock(capacity: 4_096, from: memory)
        #expect(other.bytes(0 ..< 1).baseAddress != place)
        #expect(other.capacity == 4_096)
    }

    @Test func memoryOfALargeBlockIsNotKept() {
        let memory = FeedMemory(blockBytes: 4_096, bytesMax: 8_192)
        var large: FeedBlock? = FeedBlock(capacity: 10_000, from: memory)
        #expect(large?.capacity == 10_000)
        large = nil
        #expect(memory.unusedCount == 0)
    }

    @Test func noMoreThanTheBoundIsKept() {
        let memory = FeedMemory(blockBytes: 4_096, bytesMax: 8_192)
        var blocks = (0 ..< 5).map { _ in FeedBlock(capacity: 4_096, from: memory) }
        #expect(memory.unusedCount == 0)
        blocks.removeAll()
        #expect(memory.unusedCount == 2)
    }
}
