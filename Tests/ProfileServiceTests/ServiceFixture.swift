import Bytes
import GRPCTransport
import IOCore
import IOSimulation
import Profiles
import Storage
import Synchronization
import TestSupport

@testable import ProfileService

/// A partition on a simulated disk, driven step by step: no thread, no socket.
final class ServiceFixture {
    let disk: SimulatedDisk
    let clock: SimulatedClock
    let limits: StoreLimits
    private(set) var pipeline: CommitPipeline
    private(set) var store: Store
    private(set) var committer: Committer
    private(set) var report: RecoveryReport
    private let mailbox: CompletionMailbox
    let environment: LogEnvironment
    let logStore: any LogStore
    let recovered: Partition.Recovered
    let feed = SnapshotFeed(logWaker: NoWaker(), waker: NoWaker())
    /// Of the change feed, which nobody steps but the test; `nil`: nothing is recorded.
    let feedWriter: FeedWriter?
    let wakes = WakeCounter()
    let poisonings = WakeCounter()

    /// Counts calls from wherever.
    final class WakeCounter: Sendable {
        private let countCell = Atomic<Int>(0)
        var count: Int { self.countCell.load(ordering: .relaxed) }
        func add() { self.countCell.add(1, ordering: .relaxed) }
    }

    private final class NoWaker: Waker {
        func wake() {}
    }

    init(
        _ disk: SimulatedDisk = SimulatedDisk(), limits: StoreLimits = StoreLimits(),
        pipelineLimits: PipelineLimits = PipelineLimits(),
        rulesVersion: UInt32 = Store.rulesVersion, on logStore: (any LogStore)? = nil,
        clock: SimulatedClock = SimulatedClock(), feedOptions: FeedOptions? = nil,
        feedDisk: SimulatedDisk? = nil
    ) throws(RecoveryError) {
        self.clock = clock
        self.disk = disk
        self.limits = limits
        var options = LogOptions()
        options.segmentBytes = 256 << 10
        let environment = LogEnvironment(
            directory: "d", fileSystem: disk, clock: self.clock, options: options)
        let logStore = logStore ?? SegmentedLogStore(environment)
        self.logStore = logStore
        let clock = self.clock
        self.feedWriter = feedOptions.map { options in
            FeedWriter(
                Feed(
                    FeedFiles(feedDisk ?? disk, in: "d"), options: options, logWaker: NoWaker(),
                    waker: NoWaker()),
                clock: clock, onEvent: { _ in })
        }
        let recovered = try Partition.recover(
            logStore, clock: self.clock, limits: limits,
            random: SimulatedRandomSource(), feed: self.feed,
            recorder: self.feedWriter.map { ChangeRecorder($0) }, waker: NoWaker(),
            rulesVersion: rulesVersion
        ) { _ in }
        (self.store, self.report) = (recovered.store, recovered.report)
        self.environment = environment
        self.recovered = recovered
        let wakes = self.wakes
        let poisonings = self.poisonings
        self.mailbox = CompletionMailbox { wakes.add() }
        self.pipeline = CommitPipeline(
            limits: pipelineLimits, mailboxes: [self.mailbox], waker: NoWaker(),
            onPoison: { _ in poisonings.add() })
        self.committer = recovered.makeCommitter(for: self.pipeline)
    }

    static func token(_ number: Int) -> CallToken {
        CallToken(
            loop: 0, connectionSlot: 0, connectionGeneration: 0, streamSlot: UInt32(number),
            streamGeneration: 0)
    }

    /// A batch with one Track per entry.
    func batch(_ tracks: [(person: String, eventIDs: [String], requestID: String)]) -> LogBatch {
        let batch = LogBatch(loop: 0)
        for (number, track) in tracks.enumerated() {
            let start = batch.records.count
            Self.write(track.person, track.eventIDs, track.requestID, into: &batch.records)
            _ = self.pipeline.reserve(bytes: batch.records.count - start)
            batch.slots.append(
                BatchSlot(
                    token: Self.token(number), recordOffset: start,
                    recordBytes: batch.records.count - start,
                    operations: track.eventIDs.count, items: track.eventIDs.count))
        }
        return batch
    }

    private static func write(
        _ person: String, _ eventIDs: [String], _ requestID: String, into buffer: inout ByteBuffer
    ) {
        let start = beginRecord(.track, in: &buffer)
        Self.with(person) { person in
            Self.with(requestID) { requestID in
                TrackHeader(
                    project: ProjectID(rawValue: 1), flags: TrackFlags(rawValue: 0), platform: 0,
                    eventCount: eventIDs.count,
                    identifier: IdentifierView(kind: .customID, bytes: person),
                    requestID: requestID, sourceName: UnsafeRawBufferPointer(start: nil, count: 0),
                    sentAt: 0,
                    expectedRevision: 0
                ).write(into: &buffer)
            }
        }
        for id in eventIDs {
            buffer.append(UInt8(0))
            Self.with(id) { buffer.appendPrefixed($0) }
            Self.with("visit") { buffer.appendPrefixed($0) }
            buffer.appendVarint(0)
            buffer.appendVarint(0)
            // The prefixed field list of no attributes.
            buffer.appendVarint(1)
            buffer.appendVarint(0)
        }
        endRecord(at: start, operations: eventIDs.count, in: &buffer)
    }

    private static func with<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result)
        -> Result
    {
        Array(text.utf8).withUnsafeBytes(body)
    }

    /// A batch that erases a person.
    func erasure(of person: String) -> LogBatch {
        let batch = LogBatch(loop: 0)
        Self.with(person) { person in
            self.store.withEraseCommand(
                ProjectID(rawValue: 1), IdentifierView(kind: .customID, bytes: person),
                requestID: UnsafeRawBufferPointer(start: nil, count: 0), expectedRevision: nil
            ) { command in
                let start = beginRecord(.erase, in: &batch.records)
                command.write(into: &batch.records)
                endRecord(at: start, operations: 1, in: &batch.records)
            }
        }
        _ = self.pipeline.reserve(bytes: batch.records.count)
        batch.slots.append(
            BatchSlot(
                token: Self.token(0), recordOffset: 0, recordBytes: batch.records.count,
                operations: 1, items: 0))
        return batch
    }

    /// Submits batches and steps the committer until they are finished; time passes as far as the
    /// log needs it.
    func commit(_ batches: [LogBatch]) -> [LogBatch] {
        for batch in batches { self.pipeline.submit(batch) }
        var finished: [LogBatch] = []
        // A step settles at least one frame, or says when the next one will be.
        for _ in 0 ..< 100_000 where finished.count < batches.count {
            if case .after(let nanoseconds) = self.committer.step() {
                self.clock.advance(nanoseconds: nanoseconds)
            }
            finished += self.takeFinished()
        }
        return finished
    }

    /// The batches that were finished since the last call.
    func takeFinished() -> [LogBatch] {
        var finished: [LogBatch] = []
        self.mailbox.take(into: &finished)
        return finished
    }

    /// One step of the committer, with nothing submitted.
    @discardableResult
    func rest() -> NextStep { self.committer.step() }

    /// Steps the writer of the feed until it rests.
    func writeFeed() {
        guard let writer = self.feedWriter else { return }
        while writer.step() == .now {}
    }

    /// Lets the committer end.
    func end() {
        self.pipeline.stop()
        while self.committer.step() != .ended {}
    }

    /// The header of a slot's result.
    static func header(_ batch: LogBatch, _ slot: Int) -> ResultHeader? {
        var reader = ByteReader(batch.result(of: batch.slots[slot]))
        return ResultHeader(from: &reader)
    }

    /// The count of the one event name of a person; 0: no such profile.
    func count(_ person: String) -> UInt64 {
        var image = ByteBuffer()
        let outcome = Self.with(person) {
            self.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .customID, bytes: $0),
                now: self.clock.wallMicroseconds(), into: &image)
        }
        guard outcome.finding != .notFound, var lists = ProfileImage(image.bytes)?.lists else {
            return 0
        }
        // No installations, no aliases, one counter.
        _ = (lists.readVarint(), lists.readVarint(), lists.readVarint(), lists.readPrefixed())
        return lists.read()
    }
}
