import IOCore
import Storage

/// The part of a replicated log that lies outside of one node: the history that a majority keeps,
/// who leads, and how long a commit takes on the simulated clock.
///
/// The test decides when leadership is lost and how much of the old leader's tail the next one
/// keeps. Used by one thread.
package final class SimulatedCluster {
    /// Frames in flight of one leader.
    package static let framesInFlightMax = 16

    let clock: SimulatedClock
    /// From `append` to the commit, in nanoseconds.
    package var commitNanoseconds: UInt64
    /// Committed frames, the first of all first.
    private(set) var history: [ReplicatedFrame] = []
    /// The leader's frames that are not committed, in their order.
    private var tail: [(frame: ReplicatedFrame, dueAt: UInt64)] = []
    /// `nil`: leadership was lost, and nobody was elected yet.
    private(set) var leader: Int?
    private(set) var epoch: UInt64 = 0
    private(set) var directoryID: DirectoryID?
    private var wakers: [(any Waker)?] = []

    /// The most frames that were in flight at once.
    package private(set) var framesInFlightPeak = 0
    /// Of the whole life of the cluster, tails included that were lost.
    package private(set) var framesAppended = 0

    package init(clock: SimulatedClock, commitNanoseconds: UInt64 = 5_000_000) {
        self.clock = clock
        self.commitNanoseconds = commitNanoseconds
    }

    /// The leader's frames that are not committed.
    package var framesInFlight: Int { self.tail.count }
    /// Committed frames.
    package var framesCommitted: Int { self.history.count }

    /// A new member that does not lead.
    func addMember() -> Int {
        self.wakers.append(nil)
        return self.wakers.count - 1
    }

    func setWaker(_ waker: any Waker, of member: Int) {
        self.wakers[member] = waker
    }

    // MARK: What the test decides

    /// The leader is cut off: the outcome of its frames in flight is open until an election.
    package func depose() {
        self.commitDue()
        self.leader = nil
        self.wakeAll()
    }

    /// A member begins to lead. It keeps the first `count` frames of the old leader's tail; the
    /// others are lost.
    package func elect(_ member: Int, keeping count: Int = 0) {
        self.commitDue()
        self.history += self.tail.prefix(count).map(\.frame)
        self.tail = []
        self.leader = member
        self.epoch += 1
        self.wakeAll()
    }

    private func wakeAll() {
        for waker in self.wakers { waker?.wake() }
    }

    // MARK: What members do

    func leads(_ member: Int, epoch: UInt64) -> Bool {
        self.leader == member && self.epoch == epoch
    }

    /// Begins the history with the genesis; its member leads.
    func begin(_ genesis: LogGenesis, by member: Int) {
        self.directoryID = genesis.directoryID
        self.epoch = 1
        self.leader = member
        self.history = [ReplicatedFrame(genesis.frame, number: 1, epoch: 1)]
    }

    /// Takes a frame of the leader.
    func append(_ frame: LogFrame) -> ReplicatedFrame {
        let last = self.tail.last?.frame ?? self.history.last
        precondition(frame.firstLSN == (last?.lastLSN ?? 0) + 1, "lsns have no gap")
        precondition(self.tail.count < Self.framesInFlightMax, "the window is full")
        precondition(frame.results.lsn < frame.firstLSN, "results are those of an earlier frame")
        let copy = ReplicatedFrame(
            frame, number: UInt64(self.history.count + self.tail.count + 1), epoch: self.epoch)
        self.tail.append((copy, self.clock.monotonicNanoseconds() + self.commitNanoseconds))
        self.framesAppended += 1
        self.framesInFlightPeak = max(self.framesInFlightPeak, self.tail.count)
        return copy
    }

    /// Commits what is due.
    func commitDue() {
        guard self.leader != nil else { return }
        let now = self.clock.monotonicNanoseconds()
        while let first = self.tail.first, first.dueAt <= now {
            self.history.append(first.frame)
            self.tail.removeFirst()
        }
    }

    /// When the next commit is due.
    var nextCommit: NextStep {
        guard self.leader != nil, let first = self.tail.first else { return .whenWoken }
        return .after(nanoseconds: first.dueAt - self.clock.monotonicNanoseconds())
    }
}
