import IOCore
import ProfileService
import Synchronization

/// Records of calls on their way from the loops to the thread that writes or sends them.
///
/// Bounded: a full one drops and counts, so that nobody who does not read holds a call up. Safe to
/// use from several threads, except for `take`, which belongs to the writer.
final class CallQueue: Sendable {
    /// Most records that wait: some 0.7 MiB, and more than a second of what a collector takes.
    static let recordsMax = 4_096

    private struct State: Sendable {
        var records: [CallRecord] = []
        /// Dropped since the last `take`.
        var dropped: UInt64 = 0
    }

    private let state = Guarded(State())
    private let droppedCell = Atomic<UInt64>(0)
    private let waker: any Waker

    /// - Parameter waker: Woken when the first record waits, or half of the queue is full.
    init(waker: any Waker) { self.waker = waker }

    /// Records dropped since the start.
    var dropped: UInt64 { self.droppedCell.load(ordering: .relaxed) }

    /// Adds a record, or drops it. Never blocks.
    func append(_ record: CallRecord) {
        let count = self.state.withLock { state -> Int? in
            guard state.records.count < Self.recordsMax else {
                state.dropped += 1
                return nil
            }
            state.records.append(record)
            return state.records.count
        }
        guard let count else {
            self.droppedCell.add(1, ordering: .relaxed)
            return
        }
        if count == 1 || count == Self.recordsMax / 2 { self.waker.wake() }
    }

    /// Takes the oldest records.
    ///
    /// - Returns: Also how many were dropped since the last time, behind all that wait now.
    func take(atMost limit: Int) -> (records: [CallRecord], dropped: UInt64) {
        self.state.withLock { state in
            let taken = Array(state.records.prefix(limit))
            if taken.count == state.records.count {
                state.records.removeAll(keepingCapacity: true)
            } else {
                state.records.removeFirst(taken.count)
            }
            guard state.records.isEmpty else { return (taken, 0) }
            defer { state.dropped = 0 }
            return (taken, state.dropped)
        }
    }

    var count: Int { self.state.withLock { $0.records.count } }
}
