import CNGHTTP2
import Testing

@testable import GRPCTransport

@Suite struct SessionMemoryTests {
    /// A session keeps its frame buffer of 16,394 bytes for its life; calls take small blocks.
    @Test func largeBlocksWasteAtMostAQuarterAndSmallOnesAtMostHalf() {
        for size in 1 ... 80 << 10 {
            let waste = SessionMemory.blockBytes(size: size) - 16 - size
            #expect(waste >= 0)
            #expect(waste <= (size > 2 << 10 ? size / 4 : max(size, 32)), "\(size) bytes")
        }
        #expect(SessionMemory.blockBytes(size: 16_394) == 20 << 10 | 16)
    }

    @Test func blocksKeepTheirBytesAndAreUsedAgain() throws {
        let memory = SessionMemory()
        let table = memory.table.pointee
        let allocate = try #require(table.malloc)
        let release = try #require(table.free)
        let resize = try #require(table.realloc)
        let sizes = [0, 1, 32, 33, 2_048, 2_049, 16_394, 65_536, 65_537, 1 << 20]
        for _ in 0 ..< 3 {
            let blocks = try sizes.map { try #require(allocate($0, table.mem_user_data)) }
            for (number, (block, size)) in zip(blocks, sizes).enumerated() {
                block.initializeMemory(as: UInt8.self, repeating: UInt8(number + 1), count: size)
            }
            for (number, (block, size)) in zip(blocks, sizes).enumerated() {
                let larger = try #require(resize(block, size * 3, table.mem_user_data))
                let bytes = UnsafeRawBufferPointer(start: larger, count: size)
                #expect(bytes.allSatisfy { $0 == UInt8(number + 1) })
                release(larger, table.mem_user_data)
            }
        }
        // Only what has no class is asked for again: nothing, and what is larger than all classes.
        let first = memory.systemAllocations
        for size in sizes {
            let block = allocate(size, table.mem_user_data)
            release(block, table.mem_user_data)
        }
        #expect(memory.systemAllocations - first == 3)
    }
}
