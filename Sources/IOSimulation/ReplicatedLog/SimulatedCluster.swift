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
    /// Committed frames that are kept, the oldest first.
    private var history: [ReplicatedFrame] = []
    /// Frames that were dropped before `history`.
    private var dropped = Dropped()
    /// The leader's frames that are not committed, in their order.
    private var tail: [(frame: ReplicatedFrame, dueAt: UInt64)] = []
    /// `nil`: leadership was lost, and nobody was elected yet.
    package private(set) var leader: Int?
    package private(set) var epoch: UInt64 = 0
    private(set) var directoryID: DirectoryID?
    private var members: [Member] = []

    /// What is known of the frames that are dropped.
    private struct Dropped {
        var frames = 0
        /// Of the last of them.
        var lastLSN: UInt64 = 0
        var lastEpoch: UInt64 = 0
    }

    private struct Member {
        var waker: (any Waker)?
        /// Number of the first frame that it still needs.
        var firstFrame = 1
        /// It hears nothing of the others: who leads, what is committed.
        var isIsolated = false
    }

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
    /// Committed frames, from the first of all on.
    package var framesCommitted: Int { self.dropped.frames + self.history.count }
    /// Committed frames that can still be read.
    package var framesKept: Int { self.history.count }

    /// A new member that does not lead.
    func addMember() -> Int {
        self.members.append(Member())
        return self.members.count - 1
    }

    func setWaker(_ waker: any Waker, of member: Int) {
        self.members[member].waker = waker
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
        for member in self.members { member.waker?.wake() }
    }

    /// As `elect`, and the old leader does not hear of it: it takes frames that nobody else gets,
    /// and none of them can be committed, until it is `rejoin`ed.
    package func usurp(_ member: Int, keeping count: Int) {
        if let old = self.leader, old != member { self.members[old].isIsolated = true }
        self.elect(member, keeping: count)
    }

    /// A member hears of the others again.
    package func rejoin(_ member: Int) {
        self.members[member].isIsolated = false
        self.members[member].waker?.wake()
    }

    /// Whether a member hears nothing of the others.
    package func isIsolated(_ member: Int) -> Bool { self.members[member].isIsolated }

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
        precondition(
            frame.firstLSN == (last?.lastLSN ?? self.dropped.lastLSN) + 1, "lsns have no gap")
        precondition(self.tail.count < Self.framesInFlightMax, "the window is full")
        precondition(frame.results.lsn < frame.firstLSN, "results are those of an earlier frame")
        let copy = ReplicatedFrame(
            frame, number: UInt64(self.framesCommitted + self.tail.count + 1), epoch: self.epoch)
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

    // MARK: The history

    /// Number of the first frame that is kept.
    var firstFrame: Int { self.dropped.frames + 1 }
    /// Bytes of the payloads that are kept.
    ///
    /// - Complexity: O(frames kept).
    var bytesKept: UInt64 { self.history.reduce(0) { $0 + UInt64($1.payload.count) } }

    /// A committed frame; `nil` if it is dropped or not committed yet.
    func frame(_ number: Int) -> ReplicatedFrame? {
        let index = number - self.firstFrame
        return self.history.indices.contains(index) ? self.history[index] : nil
    }

    /// The committed frames from a kept one on.
    func frames(from number: Int) -> ArraySlice<ReplicatedFrame> {
        self.history[(number - self.firstFrame)...]
    }

    /// The last lsn of the first `count` frames, of which all but the last may be dropped.
    func lastLSN(behind count: Int) -> UInt64? {
        count == self.dropped.frames ? self.dropped.lastLSN : self.frame(count)?.lastLSN
    }

    /// The position behind the first `count` frames; `nil` if it is before what is kept, or if they
    /// are not committed.
    func position(behind count: Int) -> LogPosition? {
        let epoch =
            count == self.dropped.frames ? self.dropped.lastEpoch : self.frame(count)?.epoch
        return epoch.map {
            LogPosition(index: UInt64(count + 1), check: UInt32(truncatingIfNeeded: $0))
        }
    }

    /// A member needs no frame before this one. Frames that no member needs are dropped.
    ///
    /// - Returns: Bytes of the payloads dropped.
    func truncate(before number: Int, for member: Int) -> UInt64 {
        precondition(number <= self.framesCommitted + 1, "only committed frames are truncated")
        self.members[member].firstFrame = max(self.members[member].firstFrame, number)
        let needed = self.members.map(\.firstFrame).min() ?? 1
        let unneeded = self.history.prefix(max(0, needed - self.firstFrame))
        guard let last = unneeded.last else { return 0 }
        let bytes = unneeded.reduce(0) { $0 + UInt64($1.payload.count) }
        self.dropped.frames += unneeded.count
        self.dropped.lastLSN = last.lastLSN
        self.dropped.lastEpoch = last.epoch
        self.history.removeFirst(unneeded.count)
        return bytes
    }
}
