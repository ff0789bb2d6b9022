import Bytes
import IOCore
import Synchronization

/// The changes of the log's frames, in order and without a gap, in memory and in files: derived
/// data, which a replay of the log makes again.
///
/// The log's thread appends, one writer moves what was appended to files, any thread reads by a
/// cursor of its own. Records are opaque here. A position is an lsn: the feed is whole from
/// `earliestLSN` through `headLSN`, and every other position is gone or has not come yet.
///
/// Budget of a frame on the log's thread: one lock and one copy, no allocation but that of a block
/// of 256 KiB.
package final class Feed: Sendable {
    package let options: FeedOptions
    package let metrics = FeedMetrics()
    let files: FeedFiles
    private let state = Guarded(FeedState())
    private let memory: FeedMemory
    /// Who is woken by the next frame.
    private let waiters = Guarded<[any Waker]>([])
    private let isAwaitedCell = Atomic<Bool>(false)
    private let unsyncedCell = Atomic<Int>(0)
    private let earliestCell = Atomic<UInt64>(1)
    private let headCell = Atomic<UInt64>(0)
    private let directoryCell = Guarded(DirectoryID(high: 0, low: 0))
    private let logWaker: any Waker
    private let waker: any Waker
    let syncs: FeedSyncRequests

    /// - Parameters:
    ///   - logWaker: Wakes the log's thread when it waited for headroom.
    ///   - waker: Wakes the writer's driver.
    package init(
        _ files: FeedFiles, options: FeedOptions, logWaker: any Waker, waker: any Waker
    ) {
        self.files = files
        self.options = options
        self.memory = FeedMemory(blockBytes: options.blockBytes, bytesMax: options.syncBytes)
        self.logWaker = logWaker
        self.waker = waker
        self.syncs = FeedSyncRequests(waker: waker)
    }

    func change<Result: Sendable>(_ body: (inout FeedState) -> Result) -> Result {
        let (result, hasHeadroom) = self.state.withLock { state in
            let result = body(&state)
            self.unsyncedCell.store(state.unsyncedBytes, ordering: .relaxed)
            self.earliestCell.store(state.earliest, ordering: .relaxed)
            self.headCell.store(state.head, ordering: .sequentiallyConsistent)
            let hasHeadroom =
                state.isHeadroomAwaited && state.unsyncedBytes < self.options.unsyncedBytesMax
            if hasHeadroom { state.isHeadroomAwaited = false }
            return (result, hasHeadroom)
        }
        if hasHeadroom { self.logWaker.wake() }
        return result
    }

    func look<Result: Sendable>(_ body: (inout FeedState) -> Result) -> Result {
        self.state.withLock(body)
    }

    /// Of the log.
    var directoryID: DirectoryID { self.directoryCell.withLock { $0 } }

    func belong(to directoryID: DirectoryID) {
        self.directoryCell.withLock { $0 = directoryID }
    }

    // MARK: Any thread

    /// The first position that can be read.
    package var earliestLSN: UInt64 { self.earliestCell.load(ordering: .relaxed) }

    /// The last position that can be read; 0: none yet.
    package var headLSN: UInt64 { self.headCell.load(ordering: .sequentiallyConsistent) }

    /// The last operation of the last frame that has changes; 0: none yet.
    package var lastChangeLSN: UInt64 { self.look { $0.lastChange } }

    /// Bytes in memory that no power failure leaves.
    package var unsyncedBytes: Int { self.unsyncedCell.load(ordering: .relaxed) }

    /// Bytes of the segment files.
    package var fileBytes: Int { self.look { $0.segmentBytes } }

    /// Wakes once, with the next frame that has changes, whoever has read through a position.
    ///
    /// - Returns: False if the feed is past that position already; nobody is woken then.
    package func wake(_ waker: any Waker, behind lsn: UInt64) -> Bool {
        self.waiters.withLock { waiters in
            if !waiters.contains(where: { $0 === waker }) { waiters.append(waker) }
            self.isAwaitedCell.store(true, ordering: .sequentiallyConsistent)
        }
        // Either this sees the frame, or who appends it sees the waiter: both stores and both loads
        // have one order.
        guard self.headLSN > lsn else { return true }
        return self.look { $0.lastChange <= lsn }
    }

    // MARK: The log's thread

    /// Whether the next frame may be applied; if not, the log's thread is woken when it may.
    package var hasHeadroom: Bool {
        guard self.unsyncedBytes >= self.options.unsyncedBytesMax else { return true }
        return self.look { state in
            state.isHeadroomAwaited = state.unsyncedBytes >= self.options.unsyncedBytesMax
            return !state.isHeadroomAwaited
        }
    }

    /// Takes the changes of the frame behind the head; copies them.
    ///
    /// - Parameters:
    ///   - clock: What the machine's clock said when the frame was made, in microseconds since
    ///     1970.
    ///   - records: Of all its changes, at least one; borrowed for the call.
    package func append(
        firstLSN: UInt64, lastLSN: UInt64, flags: FeedFrameFlags, clock: Int64,
        records: UnsafeRawBufferPointer
    ) {
        let bytes = FeedFrame.headerBytes + records.count
        guard bytes <= FeedOptions.frameBytesMax else {
            return self.skip(through: lastLSN, bytes: bytes)
        }
        // What has no time that a header may have is kept as long as what is oldest or newest.
        let clock = min(max(clock, FeedOptions.times.lowerBound), FeedOptions.times.upperBound)
        let isBlockFull = self.change { state in
            precondition(firstLSN == state.head + 1, "frames have no gap")
            let isFull = state.makeSpace(
                bytes: bytes, at: clock, options: self.options, memory: self.memory)
            let last = state.blocks[state.blocks.count - 1]
            last.block.append(
                flags: flags, firstLSN: firstLSN, lastLSN: lastLSN, records: records, at: last.end)
            state.publish(bytes: bytes, lastLSN: lastLSN, at: clock)
            return isFull
        }
        if isBlockFull { self.waker.wake() }
        if self.isAwaitedCell.load(ordering: .sequentiallyConsistent) { self.wakeWaiters() }
    }

    /// Moves the head over frames without changes.
    package func advance(to lsn: UInt64) {
        self.change { $0.head = max($0.head, lsn) }
    }

    private func wakeWaiters() {
        let waiters = self.waiters.withLock { waiters in
            defer { waiters = [] }
            self.isAwaitedCell.store(false, ordering: .sequentiallyConsistent)
            return waiters
        }
        for waiter in waiters { waiter.wake() }
    }

    /// Begins anew behind a frame that is too large for the feed.
    private func skip(through lsn: UInt64, bytes: Int) {
        self.change { state in
            state.head = lsn
            state.lastChange = lsn
            state.beginAnew(keeping: 0)
            state.lossReason = "a frame of \(bytes) bytes is too large for it"
        }
        self.metrics.beganAnew()
        self.waker.wake()
        if self.isAwaitedCell.load(ordering: .sequentiallyConsistent) { self.wakeWaiters() }
    }

    // MARK: Snapshots

    /// Asks for everything through the head to be made durable. The outcome is told once, on the
    /// writer's thread: false if it cannot be written now.
    package func sync(_ body: @escaping @Sendable (Bool) -> Void) {
        self.syncs.add(through: self.headLSN, body)
    }
}

/// Who waits for what of the feed to be durable.
final class FeedSyncRequests: Sendable {
    private struct Request: Sendable {
        var lsn: UInt64
        var body: @Sendable (Bool) -> Void
    }

    private let requests = Guarded<[Request]>([])
    private let waker: any Waker

    init(waker: any Waker) {
        self.waker = waker
    }

    func add(through lsn: UInt64, _ body: @escaping @Sendable (Bool) -> Void) {
        self.requests.withLock { $0.append(Request(lsn: lsn, body: body)) }
        self.waker.wake()
    }

    /// What the next one waits for; `nil`: nobody waits.
    var wanted: UInt64? { self.requests.withLock { $0.map(\.lsn).min() } }

    /// Ends the requests through a position.
    func end(_ isDurable: Bool, through lsn: UInt64) {
        let ended = self.requests.withLock { requests in
            let ended = requests.filter { $0.lsn <= lsn }
            requests.removeAll { $0.lsn <= lsn }
            return ended
        }
        for request in ended { request.body(isDurable) }
    }
}
