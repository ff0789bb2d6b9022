import Bytes
import IOCore
import Profiles
import Storage

/// The log thread's own: numbers the records, makes them durable frame by frame, applies them.
///
/// Used by one thread. Budget per record: one hash of its result, no allocation.
package final class Committer {
    /// Where the next record will stand.
    struct Position {
        var nextLSN: UInt64
        /// Never runs backwards, in microseconds since 1970.
        var receivedAt: Int64
        /// Of the results of the last frame.
        var digest: ResultsDigest
    }

    private let log: SegmentedLog
    private let store: Store
    private let clock: any Clock
    /// Settable by tests, which forge it.
    var position: Position
    /// Records of several batches that go into one frame.
    private var gathered = ByteBuffer(capacity: 64 << 10)
    private var tickRecord = ByteBuffer()
    private var tickResult = ByteBuffer()
    private var isSealed = true
    private let snapshots: SnapshotMaker?
    /// Where the log went on behind the last snapshot: two never have the same, so that the older
    /// one can go.
    private var lastCut: UInt64
    private var hasFailed = false
    private var lastActivity: UInt64 = 0
    /// How often the store's memory is told to the metrics, in nanoseconds.
    private static let memoryReportNanoseconds: UInt64 = 200_000_000
    private var nextMemoryReport: UInt64 = 0
    /// Made with the first pipeline, whose limits it needs.
    private var memoryGate: MemoryGate?
    /// Frames made durable since the start, seals included.
    private(set) var framesAppended = 0
    /// `Store.memoryMark` at the last look.
    private var memoryMark = -1

    /// - Parameters:
    ///   - feed: Where snapshots go; `nil`: none are made.
    ///   - lastCut: The next lsn of the snapshot that was loaded; 0: there was none.
    init(
        log: SegmentedLog, store: Store, clock: any Clock, position: Position,
        feed: SnapshotFeed? = nil, lastCut: UInt64 = 0
    ) {
        self.log = log
        self.snapshots = feed.map { SnapshotMaker(feed: $0, store: store) }
        self.store = store
        self.clock = clock
        self.position = position
        self.lastCut = lastCut
        let offset = beginRecord(.tick, in: &self.tickRecord)
        endRecord(at: offset, operations: 1, in: &self.tickRecord)
    }

    /// A run of slots of one batch that goes into the frame being built.
    private struct FramePart {
        var batch: Int
        var slots: Range<Int>
    }

    /// Makes all batches durable, applies them, and gives each back.
    package func process(_ batches: [LogBatch], in pipeline: CommitPipeline) {
        var batch = 0
        var slot = 0
        while batch < batches.count {
            let first = (batch: batch, slot: slot)
            let operations = self.gather(batches, from: &batch, &slot, limits: pipeline.limits)
            var rejection = Rejection.diskFull
            if self.hasHeadroom(in: pipeline) {
                rejection = self.append(
                    batches, from: first, to: (batch, slot), operations: operations)
                self.note(rejection, in: pipeline)
            }
            self.settle(batches, from: first, to: (batch, slot), rejection: rejection)
            for done in first.batch ..< batch { pipeline.complete(batches[done]) }
            _ = self.advanceSnapshot(in: pipeline)
        }
        self.lastActivity = self.clock.monotonicNanoseconds()
        self.observeMemory(in: pipeline, now: self.lastActivity)
    }

    /// Whether a frame may be written: not once the reserve is touched, until there is somewhere to
    /// go on (L9). Nothing of the log is touched in between, so what waits for space is a question
    /// to the disk and never a write that may tear.
    ///
    /// A write that fails although there seemed to be space ends in the same state, and costs one
    /// try a probe while that lasts.
    private func hasHeadroom(in pipeline: CommitPipeline) -> Bool {
        guard !self.hasFailed else { return true }
        switch self.log.headroom(isStopped: pipeline.isDiskFull) {
        case .low: pipeline.setDiskFull(true)
        case .high: pipeline.setDiskFull(false)
        case .middle: break
        }
        return !pipeline.isDiskFull
    }

    /// Draws the consequences of how a frame ended.
    private func note(_ rejection: Rejection, in pipeline: CommitPipeline) {
        switch rejection {
        case .logUnavailable: pipeline.poison()
        case .diskFull: pipeline.setDiskFull(true)
        default: break
        }
    }

    /// Holds what the store takes against its limit, and tells the metrics now and then.
    ///
    /// A look goes over all tables. Between two pieces of memory that the store takes there is
    /// nothing to see, but for somebody who waits.
    private func observeMemory(in pipeline: CommitPipeline, now: UInt64) {
        let mark = self.store.memoryMark
        guard mark != self.memoryMark || now >= self.nextMemoryReport || pipeline.isMemoryFull
        else { return }
        self.memoryMark = mark
        let memory = self.store.memory
        var gate = self.memoryGate ?? MemoryGate(limitBytes: pipeline.limits.memoryBytesMax)
        gate.observe(memory)
        self.memoryGate = gate
        pipeline.setMemoryFull(gate.isFull)
        guard now >= self.nextMemoryReport else { return }
        self.nextMemoryReport = now + Self.memoryReportNanoseconds
        pipeline.metrics.setMemory(memory)
    }

    /// Moves (`batch`, `slot`) past as many records as one frame takes, at least one.
    ///
    /// - Returns: The operations of these records.
    private func gather(
        _ batches: [LogBatch], from batch: inout Int, _ slot: inout Int, limits: PipelineLimits
    ) -> Int {
        var operations = 0
        var bytes = 0
        while batch < batches.count {
            while slot < batches[batch].slots.count {
                let next = batches[batch].slots[slot]
                let fits =
                    operations + next.operations <= limits.frameOperationsMax
                    && bytes + next.recordBytes <= limits.frameBytesMax
                guard fits || operations == 0 else { return operations }
                operations += next.operations
                bytes += next.recordBytes
                slot += 1
            }
            batch += 1
            slot = 0
        }
        return operations
    }

    /// Writes and syncs one frame of the records between two places.
    ///
    /// - Returns: `.none` when it is durable.
    private func append(
        _ batches: [LogBatch], from first: (batch: Int, slot: Int), to end: (batch: Int, slot: Int),
        operations: Int
    ) -> Rejection {
        guard !self.hasFailed else { return .logUnavailable }
        let spansBatches =
            end.batch > first.batch + 1 || (end.batch == first.batch + 1 && end.slot > 0)
        self.gathered.removeAll()
        if !spansBatches {
            let last = end.batch == first.batch ? end.slot : batches[first.batch].slots.count
            return self.append(
                Self.bytes(of: batches[first.batch], slots: first.slot ..< last),
                operations: operations)
        }
        Self.forEachRun(batches, from: first, to: end) { batch, slots in
            self.gathered.append(Self.bytes(of: batch, slots: slots))
        }
        return self.append(self.gathered.bytes, operations: operations)
    }

    /// Writes and syncs one frame.
    private func append(_ payload: UnsafeRawBufferPointer, operations: Int) -> Rejection {
        self.position.receivedAt = max(self.position.receivedAt, self.clock.wallMicroseconds())
        do throws(StorageError) {
            try self.log.append(
                FrameContents(
                    firstLSN: self.position.nextLSN, operationCount: UInt32(operations),
                    receivedAt: self.position.receivedAt, rulesVersion: Store.rulesVersion,
                    previousResultsDigest: self.position.digest.value, payload: payload))
            _ = try self.log.commit()
            self.framesAppended += 1
            self.isSealed = false
            self.position.digest = ResultsDigest()
            return .none
        } catch {
            if case .noSpace = error { return .diskFull }
            self.hasFailed = true
            return .logUnavailable
        }
    }

    /// Applies the records of a durable frame, or marks them refused.
    private func settle(
        _ batches: [LogBatch], from first: (batch: Int, slot: Int), to end: (batch: Int, slot: Int),
        rejection: Rejection
    ) {
        Self.forEachRun(batches, from: first, to: end) { batch, slots in
            for index in slots {
                guard case .none = rejection else {
                    batch.slots[index].rejection = rejection
                    continue
                }
                if (index - slots.lowerBound).isMultiple(of: Store.prefetchMax) {
                    self.store.prefetch(
                        Self.bytes(of: batch, slots: index ..< slots.upperBound),
                        firstLSN: self.position.nextLSN,
                        receivedAt: self.position.receivedAt)
                }
                batch.slots[index].resultOffset = batch.results.count
                self.apply(batch.record(of: batch.slots[index]), results: &batch.results)
            }
        }
    }

    /// Applies one durable record and adds its result to the digest.
    private func apply(_ bytes: UnsafeRawBufferPointer, results: inout ByteBuffer) {
        let start = results.count
        guard let record = RecordView(bytes) else {
            preconditionFailure("a record of this process is not whole")
        }
        do throws(ApplyError) {
            try self.store.apply(
                record, firstLSN: self.position.nextLSN, receivedAt: self.position.receivedAt,
                results: &results)
        } catch {
            preconditionFailure("a record of this process is not understood: \(error)")
        }
        self.position.nextLSN += UInt64(record.operations)
        self.position.digest.add(UnsafeRawBufferPointer(rebasing: results.bytes[start...]))
    }

    /// What is done when nothing waits: a due tick, a seal after idleness.
    ///
    /// - Returns: How long to sleep, in nanoseconds.
    func rest(in pipeline: CommitPipeline) -> UInt64 {
        let now = self.clock.monotonicNanoseconds()
        self.observeMemory(in: pipeline, now: now)
        guard !self.hasFailed else {
            self.snapshots?.fail(.logFailed)
            return pipeline.limits.tickNanoseconds
        }
        if self.advanceSnapshot(in: pipeline) { return 0 }
        let hasHeadroom = self.hasHeadroom(in: pipeline)
        let pause =
            hasHeadroom ? pipeline.limits.tickNanoseconds : pipeline.limits.spaceProbeNanoseconds
        if hasHeadroom,
            self.store.tickDue(at: max(self.position.receivedAt, self.clock.wallMicroseconds()))
        {
            // A tick that found no space waits for the next probe.
            return self.tick(in: pipeline) ? 0 : pipeline.limits.spaceProbeNanoseconds
        }
        guard !self.isSealed else { return pause }
        let idle = now &- self.lastActivity
        guard idle >= pipeline.limits.idleSealNanoseconds else {
            return pipeline.limits.idleSealNanoseconds - idle
        }
        self.seal(in: pipeline)
        return pause
    }

    /// Seals what is not sealed; the log thread ends after it.
    func close() {
        self.snapshots?.fail(.stopping)
        guard !self.isSealed, !self.hasFailed else { return }
        do throws(StorageError) {
            try self.log.seal(previousResultsDigest: self.position.digest.value)
        } catch {
            // Nothing that was answered depends on a seal: the next start treats the tail as
            // unsealed.
        }
    }

    private func seal(in pipeline: CommitPipeline) {
        do throws(StorageError) {
            try self.log.seal(previousResultsDigest: self.position.digest.value)
            self.framesAppended += 1
            self.isSealed = true
        } catch {
            if case .noSpace = error { return pipeline.setDiskFull(true) }
            self.hasFailed = true
            pipeline.poison()
        }
    }

    /// Begins a snapshot that is wanted, or makes the next piece of one; between two frames.
    ///
    /// - Returns: Whether there is more to do at once.
    private func advanceSnapshot(in pipeline: CommitPipeline) -> Bool {
        guard let snapshots = self.snapshots else { return false }
        guard snapshots.isWanted else { return snapshots.advance() }
        guard !self.hasFailed else {
            snapshots.fail(.logFailed)
            return false
        }
        // Without a new record the lsn would be that of the snapshot before.
        // On a full disk it goes into the reserve: the snapshot may be what frees some space.
        if self.lastCut == self.position.nextLSN, !self.tick(in: pipeline) {
            snapshots.fail(self.hasFailed ? .logFailed : .noSpace)
            return false
        }
        do throws(StorageError) {
            let position = try self.log.cut(
                receivedAt: self.position.receivedAt,
                previousResultsDigest: self.position.digest.value,
                rulesVersion: Store.rulesVersion)
            self.isSealed = true
            self.lastCut = self.position.nextLSN
            snapshots.begin(at: position)
            return true
        } catch {
            if case .noSpace = error {
                snapshots.fail(.noSpace)
            } else {
                self.hasFailed = true
                pipeline.poison()
                snapshots.fail(.logFailed)
            }
            return false
        }
    }

    /// Appends and applies one tick; false if it did not become durable.
    private func tick(in pipeline: CommitPipeline) -> Bool {
        let rejection = self.append(self.tickRecord.bytes, operations: 1)
        self.note(rejection, in: pipeline)
        guard rejection == .none else { return false }
        self.tickResult.removeAll()
        self.apply(self.tickRecord.bytes, results: &self.tickResult)
        return true
    }

    private static func bytes(of batch: LogBatch, slots: Range<Int>) -> UnsafeRawBufferPointer {
        let first = batch.slots[slots.lowerBound]
        let last = batch.slots[slots.upperBound - 1]
        return UnsafeRawBufferPointer(
            rebasing: batch.records.bytes[
                first.recordOffset ..< last.recordOffset + last.recordBytes])
    }

    /// Calls `body` with each batch's run of slots between two places.
    private static func forEachRun(
        _ batches: [LogBatch], from first: (batch: Int, slot: Int), to end: (batch: Int, slot: Int),
        _ body: (LogBatch, Range<Int>) -> Void
    ) {
        for index in first.batch ... min(end.batch, batches.count - 1) {
            let lower = index == first.batch ? first.slot : 0
            let upper = index == end.batch ? end.slot : batches[index].slots.count
            if lower < upper { body(batches[index], lower ..< upper) }
        }
    }
}
