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

    /// A leader that has its two snapshots behind an erasure has no need of a record for another.
    /// A follower that came to its first one behind the leader's last record has.
    @Test func followerOfALeaderAtRestLosesWhatWasErased() throws {
        let world = LogWorld(.replicated, commitNanoseconds: 0)
        let leader = try world.start()
        let (follower, _) = try world.startAnother()
        let (leaderRun, followerRun) = (SnapshotRun(leader), SnapshotRun(follower))
        func settle() {
            for node in [leader, follower] { while node.committer.step() == .now {} }
        }
        let text = "secret-person"
        _ = leader.commit([leader.batch([(text, ["1"], "")])])
        settle()
        _ = try followerRun.take()
        _ = leader.commit([leader.erasure(of: text)])
        for _ in 0 ..< 2 { _ = try leaderRun.take() }
        settle()
        #expect(!SnapshotTests.holds(text, leader.disk))
        for _ in 0 ..< 2 {
            #expect(SnapshotTests.holds(text, follower.disk))
            world.clock.advance(nanoseconds: SnapshotPolicy().ageNanosecondsMax)
            settle()
            #expect(followerRun.isMadeBySchedule())
        }
        #expect(!SnapshotTests.holds(text, follower.disk))
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
