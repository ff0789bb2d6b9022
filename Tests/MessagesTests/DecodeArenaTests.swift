import Testing

@testable import Messages

@Suite struct DecodeArenaTests {
    @Test func decodingIsBoundedAndEncodingIsNot() {
        let arena = DecodeArena()
        #expect(arena.allocate(WireLimits.arenaBytesMax + 1) == nil)
        #expect(arena.hasOverflowed)
        // A response may outgrow the bound: it takes further blocks, and every byte of it is there.
        let pieces = (0 ..< 12).map { number in
            let piece = arena.memory(1 << 20)
            piece.initializeMemory(as: UInt8.self, repeating: UInt8(number), count: 1 << 20)
            return piece
        }
        for (number, piece) in pieces.enumerated() {
            #expect(piece.load(fromByteOffset: (1 << 20) - 1, as: UInt8.self) == UInt8(number))
        }
        arena.reset()
        #expect(!arena.hasOverflowed && arena.allocate(16) != nil)
    }
}
