import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

/// Leadership that is lost with frames in flight. Each batch below becomes a frame of its own.
@Suite struct LeadershipTests {
    /// A leader with frames in flight that were never committed.
    private static func leader(frames: Int, in world: LogWorld) throws -> ServiceFixture {
        let fixture = try world.start()
        _ = fixture.commit([fixture.batch([("before", ["1"], "")])])
        for number in 0 ..< frames {
            fixture.pipeline.submit(fixture.batch([("p\(number)", ["1"], "")]))
            _ = fixture.committer.step()
        }
        #expect(world.cluster.framesInFlight == frames)
        return fixture
    }

    @Test func deposedNodeRejectsWritesAndKeepsBackThoseInFlight() throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 3, in: world)
        world.cluster.depose()
        _ = fixture.committer.step()
        #expect(fixture.committer.leadership == .deposed)
        #expect(fixture.pipeline.reserve(bytes: 1) == .notLeader, "rejected on the loop")
        // A batch that was sealed before the loop knew of it.
        fixture.pipeline.submit(fixture.batch([("late", ["1"], "")]))
        world.clock.advance(nanoseconds: 60_000_000_000)
        while fixture.committer.step() == .now {}
        #expect(fixture.takeFinished().isEmpty, "the outcome of the three before it is unknown")
        #expect((0 ..< 3).allSatisfy { fixture.count("p\($0)") == 0 }, "appended is not applied")
        #expect(fixture.count("before") == 1, "reads continue")
        #expect(!fixture.pipeline.isPoisoned)
    }

    @Test(arguments: 0 ... 5)
    func whatTheNextLeaderKeptIsAcknowledgedAndTheRestIsRejected(kept: Int) throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 5, in: world)
        let (other, member) = try world.startAnother()
        world.cluster.depose()
        _ = fixture.committer.step()
        world.cluster.elect(member, keeping: kept)
        while other.committer.step() == .now {}
        // The same lsns, used by another leader.
        let done = other.commit([other.batch([("other", ["1", "2", "3"], "")])])
        #expect(done[0].slots[0].rejection == .none)
        while fixture.committer.step() == .now {}
        let finished = fixture.takeFinished()
        #expect(finished.count == 5)
        for (number, batch) in finished.enumerated() {
            #expect(batch.slots[0].rejection == (number < kept ? .none : .notLeader))
            #expect(fixture.count("p\(number)") == (number < kept ? 1 : 0))
        }
        #expect(fixture.count("other") == 3, "the other leader's frame is applied here, too")
        #expect(fixture.store.digest() == other.store.digest())
        #expect(fixture.committer.leadership == .following)
        #expect(fixture.pipeline.reserve(bytes: 1) == .notLeader)
        #expect(fixture.pipeline.metrics.commandsWaiting == 0)
    }

    @Test func nodeThatIsElectedAgainContinuesBehindTheOthersFrames() throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 4, in: world)
        let (other, member) = try world.startAnother()
        world.cluster.elect(member, keeping: 2)
        while other.committer.step() == .now {}
        _ = other.commit([other.batch([("other", ["1"], "")])])
        world.cluster.elect(world.member)
        while fixture.committer.step() == .now {}
        #expect(fixture.committer.leadership == .leading(epoch: 3))
        _ = fixture.takeFinished()
        let lsn = fixture.store.appliedLSN
        let done = fixture.commit([fixture.batch([("again", ["1"], "")])])
        #expect(ServiceFixture.header(done[0], 0)?.lsn == lsn + 1)
        while other.committer.step() == .now {}
        #expect(other.store.digest() == fixture.store.digest())
        #expect(other.count("again") == 1 && other.count("p1") == 1 && other.count("p2") == 0)
    }

    @Test func nodeThatEndsWhileDeposedSaysThatTheOutcomeIsUnknown() throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 2, in: world)
        world.cluster.depose()
        fixture.end()
        let finished = fixture.takeFinished()
        #expect(finished.map(\.slots[0].rejection) == [.outcomeUnknown, .outcomeUnknown])
        #expect(fixture.count("p0") == 0)
    }

    @Test func tailThatWasLostIsNotRecovered() throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 3, in: world)
        let digest = fixture.store.digest()
        world.crash()
        let again = try world.start()
        #expect(again.store.digest() == digest)
        #expect(again.count("before") == 1 && again.count("p0") == 0)
        #expect(again.committer.leadership == .leading(epoch: 2))
        let done = again.commit([again.batch([("after", ["1"], "")])])
        #expect(ServiceFixture.header(done[0], 0)?.lsn == fixture.store.appliedLSN + 1)
    }

    @Test func followerThatGetsOtherResultsThanTheLeaderFailsForGood() throws {
        let world = LogWorld(.replicated)
        let fixture = try world.start()
        let (other, _) = try world.startAnother()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        fixture.committer.results = ResultsChain(
            behind: ResultsMark(lsn: fixture.store.appliedLSN, digest: 1))
        _ = fixture.commit([fixture.batch([("ann", ["2"], "")])])
        while other.committer.step() == .now {}
        #expect(other.poisonings.count == 1)
        #expect(other.pipeline.isPoisoned)
        #expect(other.count("ann") == 1, "the frame that says so was not applied")
    }

    @Test func leaderThatDoesNotHearOfTheNextOneAcknowledgesNothingMore() throws {
        let world = LogWorld(.replicated)
        let fixture = try Self.leader(frames: 2, in: world)
        let (other, member) = try world.startAnother()
        world.cluster.usurp(member, keeping: 1)
        while other.committer.step() == .now {}
        _ = other.commit([other.batch([("other", ["1"], "")])])
        // Two nodes think that they lead.
        fixture.pipeline.submit(fixture.batch([("alone", ["1"], "")]))
        world.clock.advance(nanoseconds: 60_000_000_000)
        while fixture.committer.step() == .now {}
        #expect(fixture.committer.leadership == .leading(epoch: 1))
        #expect(fixture.takeFinished().isEmpty)
        #expect(fixture.count("p0") == 0 && fixture.count("alone") == 0)
        world.cluster.rejoin(world.member)
        while fixture.committer.step() == .now {}
        let finished = fixture.takeFinished().map(\.slots[0].rejection)
        #expect(finished == [.none, .notLeader, .notLeader])
        #expect(fixture.store.digest() == other.store.digest())
        #expect(fixture.count("p0") == 1 && fixture.count("p1") == 0)
        #expect(fixture.count("other") == 1 && fixture.count("alone") == 0)
    }

    /// Two nodes, of which one leads, the other leads, or none does; every outcome that a call got
    /// must be that of the history.
    @Test(arguments: 1 ... 8 as ClosedRange<UInt64>)
    func randomElectionsAcknowledgeOnlyWhatWasKept(seed: UInt64) throws {
        let world = LogWorld(.replicated, commitNanoseconds: 2_000_000)
        let first = try world.start()
        let (second, member) = try world.startAnother()
        let nodes = [(first, world.member), (second, member)]
        var random = SeededRandom(seed: seed)
        var people: [(name: String, batch: LogBatch, node: Int)] = []
        var finished: [ObjectIdentifier: LogBatch] = [:]
        for _ in 0 ..< 600 {
            let index = random.below(2)
            switch random.below(20) {
            case 0: world.cluster.depose()
            case 1, 2: world.cluster.elect(nodes[index].1, keeping: random.below(17))
            case 3: world.cluster.usurp(nodes[index].1, keeping: random.below(17))
            case 4, 5: world.cluster.rejoin(nodes[index].1)
            default:
                let name = "p\(people.count)"
                let batch = nodes[index].0.batch([(name, ["1"], "")])
                people.append((name, batch, index))
                nodes[index].0.pipeline.submit(batch)
            }
            for (node, _) in nodes where random.below(3) > 0 { _ = node.committer.step() }
            world.clock.advance(nanoseconds: UInt64(random.below(1_000_000)))
            for (node, _) in nodes {
                for batch in node.takeFinished() { finished[ObjectIdentifier(batch)] = batch }
            }
        }
        // The last leader is sure of its own, and both have read all of it.
        for (_, member) in nodes { world.cluster.rejoin(member) }
        world.cluster.elect(nodes[0].1)
        for (node, _) in nodes {
            while node.committer.step() == .now {}
            for batch in node.takeFinished() { finished[ObjectIdentifier(batch)] = batch }
        }
        let recovered = try world.startAnother().node
        #expect(first.store.digest() == second.store.digest())
        #expect(first.store.digest() == recovered.store.digest())
        #expect(finished.count == people.count, "every call has its outcome")
        for (name, batch, _) in people {
            let isKept = recovered.count(name) == 1
            #expect((batch.slots[0].rejection == .none) == isKept, "\(name)")
        }
        let kept = people.count { recovered.count($0.name) == 1 }
        print("elections: seed \(seed), \(people.count) calls, \(kept) kept")
        #expect(kept > 20 && kept < people.count)
    }
}
