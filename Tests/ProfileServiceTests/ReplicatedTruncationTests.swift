import IOSimulation
import Storage
import Testing

@testable import ProfileService

/// The replicated log drops what every member's snapshots cover, and nothing else.
@Suite struct ReplicatedTruncationTests {
    private static let framesPerSnapshot = 6

    /// A leader that has taken three snapshots, each after some frames.
    private static func snapshotted(_ world: LogWorld) throws -> ServiceFixture {
        let node = try world.start()
        let snapshots = SnapshotRun(node)
        for round in 0 ..< 3 {
            for number in 0 ..< Self.framesPerSnapshot {
                let finished = node.commit([node.batch([("p", ["e\(round)-\(number)"], "")])])
                #expect(finished.count == 1)
            }
            _ = try snapshots.take()
        }
        return node
    }

    @Test func framesBeforeTheOlderSnapshotAreDroppedAndARestartHasEverything() throws {
        let world = LogWorld(.replicated)
        let node = try Self.snapshotted(world)
        let cluster = world.cluster
        #expect(cluster.framesCommitted == 1 + 3 * Self.framesPerSnapshot)
        #expect(cluster.framesKept == Self.framesPerSnapshot)
        // Positions and lsns continue behind what is dropped.
        #expect(node.commit([node.batch([("p", ["last"], "")])]).count == 1)
        world.crash()
        let restarted = try world.start()
        #expect(restarted.report.snapshot != nil && restarted.report.frames == 1)
        #expect(restarted.count("p") == UInt64(3 * Self.framesPerSnapshot + 1))
    }

    @Test func aNewMemberWithoutASnapshotIsRejectedOnceFramesAreDropped() throws {
        let world = LogWorld(.replicated)
        _ = try Self.snapshotted(world)
        let error = #expect(throws: RecoveryError.self) { _ = try world.startAnother() }
        guard case .storage(.missingLog) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func framesThatAnotherMemberNeedsAreKept() throws {
        let world = LogWorld(.replicated)
        _ = try world.start()
        _ = try world.startAnother()
        world.crash()
        _ = try Self.snapshotted(world)
        #expect(world.cluster.framesKept == world.cluster.framesCommitted)
    }
}
