import Bytes
import Testing

@testable import Profiles

/// The blocked identifiers as a part of its own.
@Suite struct BlockListTests {
    private let first = ProjectID(rawValue: 1)

    private func withList(_ body: (BlockList, Project, Slab) throws -> Void) rethrows {
        var limits = StoreLimits()
        limits.blockSeconds = 10
        let slab = Slab()
        let list = BlockList(slab: slab, limits: limits)
        defer {
            list.destroy()
            slab.destroy()
        }
        try withProject { try body(list, $0, slab) }
    }

    private func block(_ number: UInt64, at time: Int64) -> BlockList.Block {
        // Equal lower words, so that the upper one decides.
        BlockList.Block(identifier: IdentifierHash(low: 7, high: number), erasedAt: time)
    }

    @Test func blockEndsAfterItsTimeWhetherOrNotItWasForgotten() {
        self.withList { list, project, _ in
            list.append(self.block(1, at: 5), to: project)
            let identifier = IdentifierHash(low: 7, high: 1)
            let end: Int64 = 5 + 10_000_000
            #expect(list.blockedUntil(self.first, identifier, now: end - 1) == end)
            #expect(list.blockedUntil(self.first, identifier, now: end) == nil)
            #expect(list.blockedUntil(self.first, IdentifierHash(low: 7, high: 2), now: 6) == nil)
            #expect(project.blocks.count == 1 && list.due(project.blocks.oldestTime) == end)
        }
    }

    @Test func laterBlockOfTheSameIdentifierCounts() {
        self.withList { list, project, _ in
            list.append(self.block(1, at: 0), to: project)
            list.append(self.block(1, at: 9), to: project)
            #expect(
                list.blockedUntil(self.first, IdentifierHash(low: 7, high: 1), now: 1) == 10_000_009
            )
        }
    }

    @Test func oldestIsForgottenFirstAndItsMemoryIsFreed() {
        self.withList { list, project, slab in
            for number in 1 ... 3 {
                list.append(self.block(UInt64(number), at: Int64(number)), to: project)
            }
            list.dropOldest(of: project)
            #expect(list.blockedUntil(self.first, IdentifierHash(low: 7, high: 1), now: 4) == nil)
            #expect(list.blockedUntil(self.first, IdentifierHash(low: 7, high: 2), now: 4) != nil)
            list.dropOldest(of: project)
            list.dropOldest(of: project)
            #expect(project.blocks.count == 0 && project.blocks.oldestTime == .max)
            #expect(slab.bytesInUse == 0)
        }
    }

    /// Equal hashes of two projects: the project decides.
    @Test func identifierOfOneProjectIsNotBlockedInAnother() {
        self.withList { list, project, _ in
            withProject(2) { other in
                list.append(self.block(1, at: 0), to: project)
                list.append(self.block(1, at: 7), to: other)
                let identifier = IdentifierHash(low: 7, high: 1)
                #expect(list.blockedUntil(self.first, identifier, now: 8) == 10_000_000)
                #expect(list.blockedUntil(other.id, identifier, now: 8) == 10_000_007)
                list.dropOldest(of: project)
                #expect(list.blockedUntil(self.first, identifier, now: 8) == nil)
                #expect(list.blockedUntil(other.id, identifier, now: 8) != nil)
            }
        }
    }
}
