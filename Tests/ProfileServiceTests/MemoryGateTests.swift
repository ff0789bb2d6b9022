import Testing

@testable import ProfileService
@testable import Profiles

@Suite struct MemoryGateTests {
    private static func memory(taken: Int, used: Int) -> MemoryStatistics {
        MemoryStatistics(
            slabBytesInUse: used, slabBytesReserved: taken, profileHeaderBytes: 0,
            identifierIndexBytes: 0, eventIndexBytes: 0,
            requestBytes: 0, requestTableBytes: 0, suppressionBytes: 0, blockTableBytes: 0,
            nameBytes: 0, keyBytes: 0, triggerBytes: 0, retainedEvents: 0)
    }

    @Test func limitReachedShutsAndStaysShutUntilThereIsHeadroomToSpeakOf() {
        var gate = MemoryGate(limitBytes: 1_600)
        gate.observe(Self.memory(taken: 1_599, used: 1_599))
        #expect(!gate.isFull)
        gate.observe(Self.memory(taken: 1_600, used: 1_599))
        #expect(gate.isFull)
        gate.observe(Self.memory(taken: 1_600, used: 1_300))
        #expect(gate.isFull, "hysteresis")
        gate.observe(Self.memory(taken: 1_600, used: 1_299))
        #expect(!gate.isFull)
    }

    @Test func freedBlocksAreUsedAgainBeforeItShuts() {
        var gate = MemoryGate(limitBytes: 1_600)
        gate.observe(Self.memory(taken: 1_700, used: 1_399))
        #expect(!gate.isFull)
        gate.observe(Self.memory(taken: 1_700, used: 1_400))
        #expect(gate.isFull)
    }

    @Test func withoutALimitTheStoresOwnBoundHolds() {
        var gate = MemoryGate(limitBytes: 0)
        gate.observe(
            Self.memory(taken: MemoryStatistics.bytesMax - 1, used: MemoryStatistics.bytesMax - 1))
        #expect(!gate.isFull)
        gate.observe(Self.memory(taken: MemoryStatistics.bytesMax, used: MemoryStatistics.bytesMax))
        #expect(gate.isFull)
    }

    @Test func storeOverItsLimitIsSeenByTheLogThreadAndEveryTableCounts() throws {
        var limits = PipelineLimits()
        limits.memoryBytesMax = 3 << 20
        let fixture = try ServiceFixture(pipelineLimits: limits)
        #expect(!fixture.pipeline.isMemoryFull)
        var number = 0
        while !fixture.pipeline.isMemoryFull, number < 1_000 {
            _ = fixture.commit([
                fixture.batch(
                    (0 ..< 100).map { ("person-\(number)-\($0)", ["1"], "r\(number)-\($0)") })
            ])
            number += 1
        }
        let memory = fixture.store.memory
        #expect(memory.totalBytes >= 3 << 20)
        #expect(
            memory.totalBytes < 6 << 20,
            "one round past the limit, and the tables that doubled in it")
        #expect(memory.requestTableBytes > 0 && memory.suppressionBytes > 0)
        #expect(fixture.count("person-0-0") == 1)
        // Recovery is never refused: what was taken once is taken again.
        fixture.disk.killProcess()
        let again = try ServiceFixture(fixture.disk, pipelineLimits: limits)
        #expect(again.count("person-\(number - 1)-99") == 1)
        again.rest()
        #expect(again.pipeline.isMemoryFull)
    }
}
