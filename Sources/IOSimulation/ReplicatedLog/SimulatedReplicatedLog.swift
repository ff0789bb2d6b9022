import IOCore
import Storage

/// One member's end of a simulated replicated log.
///
/// leading --another leads, frames in flight--> deposed --all reported--> following
///    ^ +----------another leads, none in flight-------------------------> |
///    +--------------elected, and the whole history handed over------------+
///
/// Used by one thread.
package final class SimulatedReplicatedLog: CommandLog {
    private enum Role {
        case leading(epoch: UInt64)
        case deposed(epoch: UInt64)
        case following
    }

    /// A frame whose outcome was not reported.
    private struct Pending {
        let frame: ReplicatedFrame
        /// The caller's bytes, which it must not change before the report.
        let payload: UnsafeRawBufferPointer
    }

    package let isReplicated = true
    package let framesInFlightMax = SimulatedCluster.framesInFlightMax
    package let failure: StorageError? = nil
    private let cluster: SimulatedCluster
    private let member: Int
    private let metrics: LogMetrics
    private var role: Role
    private var pending: [Pending] = []
    /// Frames of the history that the caller has.
    private var seen: Int

    /// - Parameter seen: Frames of the history that recovery has handed over.
    init(_ cluster: SimulatedCluster, member: Int, seen: Int, metrics: LogMetrics) {
        self.cluster = cluster
        self.member = member
        self.metrics = metrics
        self.seen = seen
        self.role =
            cluster.leader == member ? .leading(epoch: cluster.epoch) : .following
    }

    package var leadership: Leadership {
        switch self.role {
        case .leading(let epoch): .leading(epoch: epoch)
        case .deposed: .deposed
        case .following: .following
        }
    }

    package func headroom(isStopped: Bool) -> LogHeadroom { .high }

    package func append(_ frame: LogFrame) throws(AppendError) -> UInt64 {
        guard case .leading(let epoch) = self.role else { throw .notLeader }
        let copy: ReplicatedFrame
        if self.cluster.isIsolated(self.member) {
            // It still thinks that it leads; nobody else gets this frame.
            let number = UInt64(self.seen + self.pending.count + 1)
            copy = ReplicatedFrame(frame, number: number, epoch: epoch)
        } else {
            guard self.cluster.leads(self.member, epoch: epoch) else { throw .notLeader }
            copy = self.cluster.append(frame)
        }
        self.pending.append(Pending(frame: copy, payload: frame.payload))
        self.metrics.wrote(operations: frame.operationCount, bytes: frame.payload.count)
        return copy.number
    }

    package func advance() -> LogEvent {
        self.cluster.commitDue()
        guard !self.cluster.isIsolated(self.member) else { return .pending(.whenWoken) }
        if case .leading(let epoch) = self.role, !self.cluster.leads(self.member, epoch: epoch) {
            guard let first = self.pending.first else {
                self.role = .following
                return self.follow()
            }
            self.role = .deposed(epoch: epoch)
            return .outcomeUnknown(from: first.frame.number)
        }
        switch self.role {
        case .leading:
            return self.reportCommitted() ?? .pending(self.cluster.nextCommit)
        case .deposed:
            // Only the next leader's history says what became of the frames in flight.
            guard self.cluster.leader != nil else { return .pending(.whenWoken) }
            if let committed = self.reportCommitted() { return committed }
            if let first = self.pending.first {
                self.pending.forEach(Self.expectUnchanged)
                self.pending = []
                return .discarded(from: first.frame.number)
            }
            self.role = .following
            return self.follow()
        case .following:
            return self.follow()
        }
    }

    /// Reports the frames of this node that are in the history.
    private func reportCommitted() -> LogEvent? {
        let committed = self.pending.prefix {
            self.cluster.frame(Int($0.frame.number)) === $0.frame
        }
        guard let last = committed.last else { return nil }
        committed.forEach(Self.expectUnchanged)
        self.seen = Int(last.frame.number)
        self.pending.removeFirst(committed.count)
        return .committed(through: last.frame.number)
    }

    /// Hands over the next frame of another leader, or begins to lead when there is none.
    private func follow() -> LogEvent {
        if let next = self.cluster.frame(self.seen + 1) {
            self.seen += 1
            return .replicated(next.replayed)
        }
        precondition(self.seen == self.cluster.framesCommitted, "a needed frame was dropped")
        if self.cluster.leader == self.member {
            self.role = .leading(epoch: self.cluster.epoch)
        }
        return .pending(self.cluster.nextCommit)
    }

    private static func expectUnchanged(_ pending: Pending) {
        precondition(
            pending.payload.elementsEqual(pending.frame.payload),
            "the payload of a frame in flight was changed")
    }

    package func rest(idleNanoseconds: UInt64, results: ResultsMark) throws(AppendError) -> NextStep
    {
        .whenWoken
    }

    package func checkpoint(results: ResultsMark) throws(AppendError) -> LogPosition {
        precondition(
            results.lsn == self.cluster.lastLSN(behind: self.seen),
            "the state is that of the last frame reported")
        guard let position = self.cluster.position(behind: self.seen) else {
            preconditionFailure("frames that were reported are committed")
        }
        return position
    }

    package func close(results: ResultsMark) {}
}
