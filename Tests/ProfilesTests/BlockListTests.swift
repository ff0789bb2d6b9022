import Bytes
import Testing

@testable import Profiles

/// The blocked identifiers as a part of its own.
@Suite struct BlockListTests {
    private func withList(_ body: (BlockList, Slab) throws -> Void) rethrows {
        var limits = StoreLimits()
        limits.blockSeconds = 10
        let slab = Slab()
        let list = BlockList(slab: slab, limits: limits)
        defer {
            list.destroy()
            slab.destroy()
        }
        try body(list, slab)
    }

    private func block(_ number: UInt64, at time: Int64) -> BlockList.Block {
        // Equal lower words, so that the upper one decides.
        BlockList.Block(identifier: IdentifierHash(low: 7, high: number), erasedAt: time)
    }

    @Test func blockEndsAfterItsTimeWhetherOrNotItWasForgotten() {
        self.withList { list, _ in
            list.append(self.block(1, at: 5))
            let identifier = IdentifierHash(low: 7, high: 1)
            let end: Int64 = 5 + 10_000_000
            #expect(list.blockedUntil(identifier, now: end - 1) == end)
            #expect(list.blockedUntil(identifier, now: end) == nil)
            #expect(list.blockedUntil(IdentifierHash(low: 7, high: 2), now: 6) == nil)
            #expect(list.count == 1 && list.nextDue == end)
        }
    }

    @Test func laterBlockOfTheSameIdentifierCounts() {
        self.withList { list, _ in
            list.append(self.block(1, at: 0))
            list.append(self.block(1, at: 9))
            #expect(list.blockedUntil(IdentifierHash(low: 7, high: 1), now: 1) == 10_000_009)
        }
    }

    @Test func oldestIsForgottenFirstAndItsMemoryIsFreed() {
        self.withList { list, slab in
            for number in 1 ... 3 { list.append(self.block(UInt64(number), at: Int64(number))) }
            list.dropOldest()
            #expect(list.blockedUntil(IdentifierHash(low: 7, high: 1), now: 4) == nil)
            #expect(list.blockedUntil(IdentifierHash(low: 7, high: 2), now: 4) != nil)
            list.dropOldest()
            list.dropOldest()
            #expect(list.count == 0 && list.nextDue == nil && slab.bytesInUse == 0)
        }
    }
}
