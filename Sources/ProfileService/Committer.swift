import Bytes
import IOCore
import Profiles
import Storage

/// Numbers the records, appends them to the log frame by frame, and applies the committed frames in
/// their order.
///
/// One step takes what the loops have submitted, appends frames as long as the log takes more,
/// collects what the log reports, and settles frames from the oldest on: it applies their records
/// or rejects them, and gives finished batches back. State is only ever that of committed frames.
///
/// Used by one thread. Budget per record: one hash of its result, no allocation, no retain. Budget
/// per frame of the local log: one pwrite, one fdatasync.
package final class Committer: Steppable {
    /// Where a committer continues behind a recovery.
    struct Start {
        var results: ResultsChain
        /// Of the last call, in microseconds since 1970.
        var receivedAt: Int64
        /// Of the snapshot that was loaded; `nil`: there was none.
        var snapshotLSN: UInt64?
    }

    let log: any CommandLog
    let store: Store
    let clock: any Clock
    let pipeline: CommitPipeline
    let snapshots: SnapshotMaker?
    private let recorder: ChangeRecorder?
    private let framesInFlightMax: Int

    /// Of the frames that were applied. Settable by tests, which forge it.
    var results: ResultsChain
    /// Of the last call that was applied, in microseconds since 1970.
    private(set) var appliedAt: Int64
    /// Of the next frame to be appended.
    private var nextLSN: UInt64
    /// Of the last call appended; never runs backwards, in microseconds since 1970.
    private(set) var receivedAt: Int64
    private var clockWatch = ClockWatch()

    private(set) var queue = BatchQueue()
    /// Storage that is exchanged with the pipeline.
    private var taken: [LogBatch] = []
    /// Frames that are not settled, the oldest first.
    private var frames: [FrameInFlight] = []
    /// Of `frames`, those that the log has yet to report.
    private(set) var framesInFlight = 0
    private var committedThrough: UInt64 = 0
    private var payloads: [FramePayload] = []
    private var tickRecord = ByteBuffer()
    /// Results that no batch waits for: of ticks, and of another leader's frames.
    private var unsentResults = ByteBuffer()
    /// The results of the frame that is being applied.
    private var digest = ResultsDigest()
    private var applyingLSN: UInt64 = 0
    private var applyingTimes = FrameTimes(receivedAt: 0, clock: nil, rulesVersion: 0)

    private(set) var leadership: Leadership
    private(set) var hasFailed = false
    private var hasEnded = false
    /// Whether this step has settled a frame.
    private var hasProgressed = false
    /// Monotonic, in nanoseconds.
    private var lastActivity: UInt64 = 0
    /// The lsn of the last snapshot that was begun: two never have the same, so that the older one
    /// becomes removable.
    var checkpointLSN: UInt64?
    /// Frames of records appended since the start.
    private(set) var framesAppended = 0
    private var memory = MemoryObserver()
    private var followerTick: FollowerTick

    /// - Parameters:
    ///   - snapshotPolicy: By which followers make their snapshots.
    ///   - feed: Where snapshots go; `nil`: none are made.
    ///   - recorder: Takes the changes of each frame; `nil`: nobody does.
    init(
        log: any CommandLog, store: Store, clock: any Clock, pipeline: CommitPipeline,
        start: Start, snapshotPolicy: SnapshotPolicy, feed: SnapshotFeed? = nil,
        recorder: ChangeRecorder? = nil
    ) {
        self.log = log
        self.followerTick = FollowerTick(
            behind: start, policy: snapshotPolicy, isReplicated: log.isReplicated, clock: clock)
        self.store = store
        self.clock = clock
        self.pipeline = pipeline
        self.recorder = recorder
        self.snapshots = feed.map { SnapshotMaker(feed: $0, store: store) }
        self.framesInFlightMax = log.framesInFlightMax
        self.results = start.results
        self.nextLSN = start.results.appliedLSN + 1
        self.receivedAt = start.receivedAt
        self.appliedAt = start.receivedAt
        self.checkpointLSN = start.snapshotLSN
        self.leadership = .leading(epoch: 1)
        self.frames.reserveCapacity(log.framesInFlightMax + 1)
        let offset = beginRecord(.tick, in: &self.tickRecord)
        endRecord(at: offset, operations: 1, in: &self.tickRecord)
        self.observeLeadership()
    }

    var isLeading: Bool { if case .leading = self.leadership { true } else { false } }

    /// - Returns: `.ended` after `CommitPipeline.stop`, with everything settled and the log closed.
    package func step() -> NextStep {
        guard !self.hasEnded else { return .ended }
        let isStopping = self.pipeline.take(into: &self.taken)
        self.queue.add(&self.taken)
        self.hasProgressed = false
        self.observeLeadership()
        self.appendFrames()
        let pending = self.collectEvents()
        let hasMoreOfSnapshot = self.advanceSnapshot()
        if self.hasProgressed {
            self.lastActivity = self.clock.monotonicNanoseconds()
            self.memory.observe(self.store, for: self.pipeline, now: self.lastActivity)
            self.observeClock(at: self.lastActivity)
            return .now
        }
        if isStopping, self.queue.hasUnframed == false, self.end() { return .ended }
        if hasMoreOfSnapshot { return .now }
        guard self.framesInFlight == 0 else { return pending }
        return self.rest().sooner(pending)
    }

    // MARK: Appending

    /// Appends what waits, as long as the log takes more.
    private func appendFrames() {
        while self.queue.hasUnframed {
            guard !self.hasFailed else { return self.rejectWaiting(.logUnavailable) }
            guard self.isLeading else { return self.rejectWaiting(.notLeader) }
            guard self.framesInFlight < self.framesInFlightMax, self.feedHasHeadroom else { return }
            let run = self.queue.nextRun(
                commandsMax: self.frameCommandsMax, limits: self.pipeline.limits)
            var rejection = Rejection.diskFull
            if self.hasHeadroom() { rejection = self.append(run) }
            guard case .none = rejection else {
                self.reject(run, rejection)
                continue
            }
            self.queue.take(run)
        }
    }

    /// Whether the feed has memory for another frame; its writer wakes this thread when it has.
    private var feedHasHeadroom: Bool { self.recorder?.hasHeadroom ?? true }

    /// Commands that the next frame takes at most.
    ///
    /// With one frame in flight: all that wait, which is what makes group commit grow with the
    /// load. With more: what waits is spread over half of the frames that may still be appended, so
    /// that a burst does not go into one large frame that leaves the log idle until it is
    /// committed. The other half is for commands that come before the next commit: a frame is never
    /// held back to become larger, and in a full window they would wait.
    private var frameCommandsMax: Int {
        guard self.framesInFlightMax > 1 else { return .max }
        let frames = (self.framesInFlightMax - self.framesInFlight + 1) / 2
        let share = (self.queue.unframedCommands + frames - 1) / frames
        return max(share, self.pipeline.limits.frameCommandsMin)
    }

    /// Appends one frame.
    ///
    /// - Parameter run: `nil`: a tick.
    /// - Returns: `.none` if it is in flight.
    private func append(_ run: BatchQueue.Run?) -> Rejection {
        let times = FrameTimes(
            after: self.receivedAt, clock: self.clock.wallMicroseconds(),
            rulesVersion: self.store.newestRules)
        let (bytes, payload) = self.payload(of: run, times)
        let frame = LogFrame(
            firstLSN: self.nextLSN, operationCount: UInt32(run?.operations ?? 1),
            receivedAt: times.receivedAt, rulesVersion: self.store.newestRules,
            results: self.results.next, payload: bytes)
        do throws(AppendError) {
            let number = try self.log.append(frame)
            self.frames.append(
                FrameInFlight(
                    number: number, outcome: .appended, firstLSN: frame.firstLSN,
                    times: times, rulesVersion: frame.rulesVersion, run: run,
                    named: self.results.name(), payload: payload,
                    appendedNanoseconds: self.timeIfMeasured))
            self.framesInFlight += 1
            self.framesAppended += 1
            self.nextLSN += UInt64(frame.operationCount)
            self.receivedAt = times.last(of: run?.commands ?? 1)
            #if CANARIES
                if Canary.readAheadOfCommit.isActive, let last = self.frames.last {
                    self.apply(last)
                }
            #endif
            return .none
        } catch {
            self.recycle(payload)
            return self.rejection(for: error)
        }
    }

    /// The payload of a frame, and what holds it if it had to be gathered: from several batches, or
    /// behind the clock.
    private func payload(of run: BatchQueue.Run?, _ times: FrameTimes) -> (
        bytes: UnsafeRawBufferPointer, gathered: FramePayload?
    ) {
        if !times.recordsClock {
            guard let run else { return (self.tickRecord.bytes, nil) }
            if let contiguous = self.queue.contiguousBytes(of: run) { return (contiguous, nil) }
        }
        let gathered = self.payloads.popLast() ?? FramePayload()
        if times.recordsClock { gathered.append(clock: times.clock) }
        if let run {
            self.queue.forEachPart(of: run) { gathered.append($0.records(of: $1)) }
        } else {
            gathered.append(self.tickRecord.bytes)
        }
        return (gathered.bytes, gathered)
    }

    /// Draws the consequences of an append that failed.
    func rejection(for error: AppendError) -> Rejection {
        switch error {
        case .noSpace:
            self.pipeline.setDiskFull(true)
            return .diskFull
        case .notLeader:
            self.observeLeadership()
            return .notLeader
        case .failed:
            self.fail()
            return .logUnavailable
        }
    }

    /// Appends one tick; false if the log did not take it.
    func appendTick() -> Bool {
        let rejection = self.append(nil)
        return if case .none = rejection { true } else { false }
    }

    // MARK: Events of the log

    /// Takes every event that the log has.
    ///
    /// - Returns: When to ask it again.
    @discardableResult
    func collectEvents() -> NextStep {
        while !self.hasFailed {
            switch self.log.advance() {
            case .pending(let next):
                self.observeLeadership()
                return next
            case .committed(let through):
                self.committedThrough = through
                self.settle()
            case .outcomeUnknown(let first): self.suspend(from: first)
            case .discarded(let first): self.discard(from: first)
            case .replicated(let frame): self.follow(frame)
            case .failed: self.fail()
            }
        }
        return .whenWoken
    }

    /// Notes who leads.
    private func observeLeadership() {
        let leadership = self.log.leadership
        guard leadership != self.leadership else { return }
        self.leadership = leadership
        self.pipeline.setLeadership(leadership)
    }

    /// The outcome of the frames from a number on is unknown: their calls wait for it.
    private func suspend(from first: UInt64) {
        for index in self.frames.indices where self.frames[index].number >= first {
            if case .appended = self.frames[index].outcome { self.frames[index].outcome = .unknown }
        }
        self.observeLeadership()
    }

    /// The frames from a number on never happened.
    private func discard(from first: UInt64) {
        for index in self.frames.indices.reversed()
        where self.frames[index].isOpen && self.frames[index].number >= first {
            if let named = self.frames[index].named { self.results.restore(named) }
            self.nextLSN = self.frames[index].firstLSN
            self.close(index, .notLeader)
        }
        self.settle()
    }

    /// Applies a committed frame of another leader.
    private func follow(_ frame: ReplayedFrame) {
        precondition(self.framesInFlight == 0, "a log reports its own frames first")
        guard self.results.check(frame.results), frame.rulesVersion <= self.store.newestRules,
            let mark = try? self.store.applyFrame(frame, results: &self.unsentResults)
        else {
            // The state here is not the leader's, or this release cannot follow it: serving it or
            // adding to it would spread the difference.
            self.fail(.replayRejected(lsn: frame.firstLSN))
            return
        }
        self.results.applied(mark)
        self.recorder?.record(self.store, from: frame.firstLSN, mark, clock: frame.clock)
        self.nextLSN = mark.lsn + 1
        self.appliedAt = self.store.lastReceivedAt
        self.receivedAt = max(self.receivedAt, self.appliedAt)
        self.pipeline.announce(firings: self.store.triggers.version)
        self.hasProgressed = true
    }

    /// Ends everything that is in flight; nothing more is taken until a restart.
    func fail(_ error: StorageError? = nil) {
        self.hasFailed = true
        for index in self.frames.indices where self.frames[index].isOpen {
            self.close(index, .logUnavailable)
        }
        self.pipeline.poison(error ?? self.log.failure ?? .poisoned)
        self.settle()
    }

    // MARK: Settling

    private func close(_ index: Int, _ rejection: Rejection) {
        self.frames[index].outcome = .rejected(rejection)
        self.framesInFlight -= 1
    }

    private func rejectWaiting(_ rejection: Rejection) {
        self.reject(self.queue.everythingUnframed, rejection)
    }

    /// Rejects commands that were never appended, in their turn: those before them in the same
    /// batch may be in flight.
    private func reject(_ run: BatchQueue.Run, _ rejection: Rejection) {
        self.queue.take(run)
        self.frames.append(
            FrameInFlight(
                number: 0, outcome: .rejected(rejection), firstLSN: 0,
                times: FrameTimes(receivedAt: 0, clock: nil, rulesVersion: 0), rulesVersion: 0,
                run: run))
        self.settle()
    }

    /// Settles frames from the oldest on, up to the first whose outcome is not known.
    private func settle() {
        while let frame = self.frames.first {
            switch frame.outcome {
            case .appended, .unknown:
                guard frame.number <= self.committedThrough else { return }
                self.framesInFlight -= 1
                self.measure(frame) { self.apply(frame) }
            case .rejected(let rejection):
                guard let run = frame.run else { break }
                self.queue.forEachPart(of: run) { batch, slots in
                    for index in slots { batch.slots[index].rejection = rejection }
                }
            }
            self.frames.removeFirst()
            self.hasProgressed = true
            self.recycle(frame.payload)
            if let run = frame.run {
                let pipeline = self.pipeline
                self.queue.removeAll(before: run.end) { pipeline.complete($0) }
            }
        }
    }

    private func recycle(_ payload: FramePayload?) {
        guard let payload else { return }
        payload.reset()
        self.payloads.append(payload)
    }

    /// Applies the records of a committed frame.
    private func apply(_ frame: FrameInFlight) {
        #if CANARIES
            let isApplied = frame.firstLSN <= self.results.appliedLSN
            if Canary.readAheadOfCommit.isActive, isApplied { return }
        #endif
        self.digest = ResultsDigest()
        self.applyingLSN = frame.firstLSN
        self.applyingTimes = frame.times
        if let run = frame.run {
            self.queue.forEachPart(of: run) { batch, slots in
                for index in slots {
                    #if CANARIES
                        let last = slots.lowerBound + slots.upperBound - 1
                        let index = Canary.appliedOutOfOrder.isActive ? last - index : index
                    #endif
                    if (index - slots.lowerBound).isMultiple(of: Store.prefetchMax) {
                        self.store.prefetch(
                            batch.records(of: index ..< slots.upperBound),
                            firstLSN: self.applyingLSN, times: self.applyingTimes)
                    }
                    batch.slots[index].resultOffset = batch.results.count
                    self.apply(
                        batch.record(of: batch.slots[index]), of: frame, results: &batch.results)
                }
            }
        } else {
            self.unsentResults.removeAll()
            self.apply(self.tickRecord.bytes, of: frame, results: &self.unsentResults)
        }
        let mark = ResultsMark(lsn: self.applyingLSN - 1, digest: self.digest.value)
        self.results.applied(mark)
        self.recorder?.record(self.store, from: frame.firstLSN, mark, clock: frame.times.clock)
        self.appliedAt = self.store.lastReceivedAt
        self.pipeline.announce(firings: self.store.triggers.version)
    }

    /// Applies one committed record and adds its result to the digest.
    private func apply(
        _ bytes: UnsafeRawBufferPointer, of frame: FrameInFlight, results: inout ByteBuffer
    ) {
        let start = results.count
        guard let record = RecordView(bytes) else {
            preconditionFailure("a record of this process is incomplete")
        }
        do throws(ApplyError) {
            try self.store.apply(
                record, firstLSN: self.applyingLSN, receivedAt: self.applyingTimes.receivedAt,
                clock: self.applyingTimes.clock, rulesVersion: frame.rulesVersion, results: &results
            )
        } catch {
            preconditionFailure("a record of this process is not understood: \(error)")
        }
        self.applyingLSN += UInt64(record.operations)
        self.applyingTimes.advance()
        self.digest.add(UnsafeRawBufferPointer(rebasing: results.bytes[start...]))
    }

    // MARK: At rest and at the end

    /// What is done when nothing waits and nothing is in flight: a due tick, the log's own work.
    private func rest() -> NextStep {
        let now = self.clock.monotonicNanoseconds()
        let limits = self.pipeline.limits
        self.memory.observe(self.store, for: self.pipeline, now: now)
        self.observeClock(at: now)
        guard !self.hasFailed else { return .after(nanoseconds: limits.tickNanoseconds) }
        let hasHeadroom = self.hasHeadroom()
        let probe = NextStep.after(nanoseconds: limits.spaceProbeNanoseconds)
        let pause = hasHeadroom ? .after(nanoseconds: limits.tickNanoseconds) : probe
        let owesTick = self.followerTick.isDue(
            appliedLSN: self.results.appliedLSN, lastEraseLSN: self.store.lastEraseLSN, now: now)
        if hasHeadroom, self.isLeading, self.feedHasHeadroom,
            owesTick || self.store.tickDue(at: self.clock.wallMicroseconds())
        {
            // A tick that found no space waits for the next probe.
            return self.appendTick() ? .now : probe
        }
        do throws(AppendError) {
            let next = try self.log.rest(
                idleNanoseconds: now &- self.lastActivity, results: self.results.newest)
            return pause.sooner(next)
        } catch {
            _ = self.rejection(for: error)
            return pause
        }
    }

    /// Reports how far the machine's clock is behind the last call.
    ///
    /// - Parameter now: Monotonic, in nanoseconds.
    private func observeClock(at now: UInt64) {
        guard self.clockWatch.isDue(at: now) else { return }
        let behind = max(0, self.receivedAt - self.clock.wallMicroseconds())
        self.pipeline.metrics.setClockBehind(microseconds: behind)
        if let event = self.clockWatch.observe(behindMicroseconds: behind, at: now) {
            self.pipeline.report(event)
        }
    }

    /// Ends if nothing is left that the log may yet report.
    ///
    /// - Returns: Whether it has ended.
    private func end() -> Bool {
        guard self.framesInFlight == 0 || !self.isLeading else { return false }
        // A node that was deposed may wait for the new leader's history for ever.
        for index in self.frames.indices where self.frames[index].isOpen {
            self.close(index, .outcomeUnknown)
        }
        self.settle()
        self.snapshots?.fail(.stopping)
        self.log.close(results: self.results.newest)
        self.hasEnded = true
        return true
    }
}
