import Bytes
import Glibc
import IOCore
import IOSimulation
import Storage

/// A log on a simulated disk, and frames whose content follows from their place, so that a replay
/// can be checked without keeping them.
final class LogFixture {
    static let directory = "d"
    static let lsnsPerFrame: UInt64 = 3
    static let clock = SimulatedClock()
    /// Of the file that notes the end, which takes part of a small disk.
    static let noteBytes = 580
    static let directoryID = DirectoryID(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF)

    let disk: SimulatedDisk
    let segmentBytes: Int
    private(set) var log: SegmentedLog?
    private(set) var report = RecoveryReport()
    /// Frames of records that the last recovery found, in a snapshot and the log, the first frame
    /// of the directory included.
    private(set) var replayed = 0
    private(set) var target = CheckingTarget()
    /// Examined by the log.
    var lock: (any DirectoryLock)?
    var acceptedEndLSN: UInt64?
    var clock = LogFixture.clock

    init(_ disk: SimulatedDisk = SimulatedDisk(), segmentBytes: Int = 4096) {
        self.disk = disk
        self.segmentBytes = segmentBytes
    }

    var environment: LogEnvironment {
        var options = LogOptions()
        options.segmentBytes = self.segmentBytes
        options.prepareStepBytes = 1024
        options.acceptedEndLSN = self.acceptedEndLSN
        var environment = LogEnvironment(
            directory: Self.directory, fileSystem: self.disk, clock: self.clock, options: options)
        environment.lock = self.lock
        return environment
    }

    /// The payload of the frame at a place (0: the first of the directory); sizes differ, and some
    /// are no multiple of 8.
    static func payload(_ index: Int) -> [UInt8] {
        index < self.payloads.count ? self.payloads[index] : self.makePayload(index)
    }

    private static let payloads = (0 ..< 300).map(LogFixture.makePayload)

    private static func makePayload(_ index: Int) -> [UInt8] {
        var random = SeededRandom(seed: UInt64(index) &+ 77)
        let count = 8 + random.below(index % 7 == 3 ? 1_500 : 200)
        let words = (0 ... count / 8).map { _ in random.next() }
        return words.withUnsafeBytes { Array($0.prefix(count)) }
    }

    /// What a replay of the frame at a place must carry, and nothing else.
    static func isExpected(_ frame: ReplayedFrame, at index: Int) -> Bool {
        let wanted = Self.payload(index)
        return frame.firstLSN == 1 + UInt64(index) * Self.lsnsPerFrame
            && frame.operationCount == UInt32(Self.lsnsPerFrame)
            && frame.receivedAt == Int64(index) + 1_000
            && frame.results.digest == UInt64(index)
            && frame.results.lsn == frame.firstLSN - 1
            && frame.rulesVersion == 1
            && wanted.count == frame.payload.count
            && wanted.withUnsafeBytes {
                memcmp($0.baseAddress!, frame.payload.baseAddress!, wanted.count)
            } == 0
    }

    static func contents(_ index: Int, payload: UnsafeRawBufferPointer) -> LogFrame {
        LogFrame(
            firstLSN: 1 + UInt64(index) * Self.lsnsPerFrame,
            operationCount: UInt32(Self.lsnsPerFrame),
            receivedAt: Int64(index) + 1_000, rulesVersion: 1,
            results: ResultsMark(lsn: UInt64(index) * Self.lsnsPerFrame, digest: UInt64(index)),
            payload: payload)
    }

    /// Opens the log and checks every replayed frame; `.replayRejected` if one is not what was
    /// written.
    func open() throws(StorageError) {
        let target = CheckingTarget()
        self.target = target
        let genesis = Self.payload(0)
        // SAFETY: the copy is given back after `open`, which borrows it.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: genesis.count, alignment: 8)
        defer { bytes.deallocate() }
        bytes.copyBytes(from: genesis)
        let (log, report) = try SegmentedLog.open(
            self.environment,
            genesis: {
                LogGenesis(
                    directoryID: Self.directoryID,
                    frame: Self.contents(0, payload: UnsafeRawBufferPointer(bytes)))
            }, target: target)
        self.log = log
        self.report = report
        self.replayed = target.frames
    }

    /// Hands the frame at a place over, and makes it durable.
    func write(_ index: Int) throws(StorageError) {
        try self.append(index)
        try self.opened.commit()
    }

    /// Hands the frame at a place over.
    func append(_ index: Int) throws(StorageError) {
        let payload = Self.payload(index)
        let outcome = payload.withUnsafeBytes { bytes -> Result<Void, StorageError> in
            do throws(StorageError) {
                return .success(try self.opened.write(Self.contents(index, payload: bytes)))
            } catch { return .failure(error) }
        }
        try outcome.get()
    }

    func seal(after index: Int) throws(StorageError) {
        try self.opened.seal(digest: UInt64(index + 1))
    }

    var opened: SegmentedLog {
        guard let log = self.log else { preconditionFailure("the log is not open") }
        return log
    }

    /// The names and contents of all files now.
    var files: [(path: String, content: [UInt8])] { self.disk.snapshot.files }

    /// A log with `frames` frames of records after the first, sealed after those listed.
    static func written(
        frames: Int, sealedAfter seals: Set<Int> = [], segmentBytes: Int = 4096
    ) throws -> LogFixture {
        let fixture = LogFixture(segmentBytes: segmentBytes)
        try fixture.open()
        for index in 1 ..< frames + 1 {
            try fixture.write(index)
            if seals.contains(index) { try fixture.seal(after: index) }
        }
        fixture.disk.killProcess()
        return fixture
    }
}

extension LogFixture {
    /// One frame after the first, and a seal with this digest.
    static func sealedBriefly(digest: UInt64) throws -> LogFixture {
        let fixture = LogFixture()
        try fixture.open()
        try fixture.write(1)
        try fixture.opened.seal(digest: digest)
        fixture.disk.killProcess()
        return fixture
    }
}
