import Foundation
import IOCore
import IOSimulation

@testable import Storage

/// A feed on a simulated disk, and frames whose content follows from their place, so that what is
/// read can be checked without keeping it.
final class FeedFixture {
    static let directoryID = LogFixture.directoryID
    static let lsnsPerFrame: UInt64 = 3

    let disk: SimulatedDisk
    let clock: SimulatedClock
    let feed: Feed
    let writer: FeedWriter
    let logWakes = CountingWaker()
    let wakes = CountingWaker()
    private let eventLog = Guarded<[FeedEvent]>([])

    init(
        _ disk: SimulatedDisk = SimulatedDisk(), clock: SimulatedClock = SimulatedClock(),
        configure: (inout FeedOptions) -> Void = { _ in }
    ) {
        self.disk = disk
        self.clock = clock
        let eventLog = self.eventLog
        self.feed = Feed(
            FeedFiles(disk, in: "d"), options: Self.options(configure), logWaker: self.logWakes,
            waker: self.wakes)
        self.writer = FeedWriter(
            self.feed, clock: clock, onEvent: { event in eventLog.withLock { $0.append(event) } })
    }

    /// Small ones, so that few frames fill them.
    static func options(_ configure: (inout FeedOptions) -> Void = { _ in }) -> FeedOptions {
        var options = FeedOptions()
        options.blockBytes = 1_024
        options.bytesMax = 1 << 20
        options.segmentBytesMax = 4_096
        options.memoryBytes = 4_096
        options.syncBytes = 2_048
        options.unsyncedBytesMax = 16_384
        configure(&options)
        return options
    }

    /// A feed of an empty directory.
    static func begun(
        _ disk: SimulatedDisk = SimulatedDisk(), clock: SimulatedClock = SimulatedClock(),
        configure: (inout FeedOptions) -> Void = { _ in }
    ) -> FeedFixture {
        let fixture = FeedFixture(disk, clock: clock, configure: configure)
        fixture.open(behind: 0)
        return fixture
    }

    var events: [FeedEvent] { self.eventLog.withLock { $0 } }

    /// Names of the segments on disk, as the first lsns of them.
    var segmentLSNs: [UInt64] {
        self.disk.snapshot.files.compactMap { file in
            FeedFiles.lsn(of: String(file.path.dropFirst("d/feed/".count)))
        }
    }

    func open(behind lsn: UInt64) {
        self.writer.open(directoryID: Self.directoryID, behind: lsn)
    }

    // MARK: Frames

    static func lastLSN(of index: Int) -> UInt64 { UInt64(index + 1) * Self.lsnsPerFrame }

    /// Every fifth frame changes nothing.
    static func hasChanges(_ index: Int) -> Bool { index % 5 != 2 }

    static func records(_ index: Int) -> [UInt8] {
        var random = SeededRandom(seed: UInt64(index) &+ 901)
        let count = 1 + random.below(index % 11 == 4 ? 2_600 : 180)
        return (0 ..< count).map { _ in UInt8(random.below(256)) }
    }

    static func flags(_ index: Int) -> FeedFrameFlags { index % 3 == 0 ? .identity : [] }

    /// Appends the frame at a place.
    func append(_ index: Int) {
        Self.append(index, to: self.feed, clock: self.clock.wallMicroseconds())
    }

    static func append(_ index: Int, to feed: Feed, clock: Int64) {
        let last = Self.lastLSN(of: index)
        if Self.hasChanges(index) {
            Self.records(index).withUnsafeBytes {
                feed.append(
                    firstLSN: last + 1 - Self.lsnsPerFrame, lastLSN: last, flags: Self.flags(index),
                    clock: clock, records: $0)
            }
        } else {
            feed.advance(to: last)
        }
    }

    /// Appends frames and lets the writer work behind each.
    func run(_ indices: Range<Int>) {
        for index in indices {
            self.append(index)
            self.work()
        }
    }

    /// Steps the writer until it rests.
    func work() { while self.writer.step() == .now {} }

    /// Lets time pass, and the writer work.
    func pass(seconds: Int) {
        self.clock.advance(nanoseconds: UInt64(seconds) * 1_000_000_000)
        self.work()
    }

    /// Asks for a sync, and steps the writer until it has its outcome.
    func sync() -> Bool? {
        let outcome = Guarded<Bool?>(nil)
        self.feed.sync { isDurable in outcome.withLock { $0 = isDurable } }
        self.work()
        return outcome.withLock { $0 }
    }

    // MARK: Reading

    struct Read: Equatable {
        var indices: [Int] = []
        /// What everything was read through.
        var through: UInt64 = 0
        /// `nil`: the head was reached.
        var gone: UInt64?
        /// What was not as it was written.
        var wrong: String?
    }

    /// Reads from a position to the head, and compares every byte.
    static func read(_ feed: Feed, from lsn: UInt64, maxBytes: Int = 700) -> Read {
        let cursor = feed.makeCursor(from: lsn)
        var result = Read()
        while true {
            switch cursor.next(maxBytes: maxBytes) {
            case .atHead:
                result.through = cursor.nextLSN - 1
                return result
            case .gone(let earliest):
                result.gone = earliest
                return result
            case .failed(let error):
                result.wrong = error.explanation
                return result
            case .frames(let slice):
                for frame in slice.frames {
                    let index = Int(frame.lastLSN / Self.lsnsPerFrame) - 1
                    if let wrong = Self.complaint(frame, at: index, slice) { result.wrong = wrong }
                    if let last = result.indices.last, index <= last {
                        result.wrong = "frame \(index) after \(last)"
                    }
                    result.indices.append(index)
                }
            }
        }
    }

    private static func complaint(_ frame: FeedFrame, at index: Int, _ slice: FeedSlice) -> String?
    {
        guard frame.lastLSN == Self.lastLSN(of: index), frame.lastLSN <= slice.throughLSN,
            frame.firstLSN == frame.lastLSN + 1 - Self.lsnsPerFrame, Self.hasChanges(index),
            frame.flags == Self.flags(index), Array(frame.records) == Self.records(index)
        else { return "frame \(index) is not what was appended" }
        return nil
    }

    /// The places that a whole feed has between two positions.
    static func expected(from lsn: UInt64, frames: Int) -> [Int] {
        (0 ..< frames).filter { Self.lastLSN(of: $0) >= lsn && Self.hasChanges($0) }
    }

    /// Why the feed from its beginning to its head is not what was appended; `nil`: it is.
    static func complaint(_ feed: Feed, frames: Int, maxBytes: Int = 700) -> String? {
        let found = Self.read(feed, from: feed.earliestLSN, maxBytes: maxBytes)
        if let wrong = found.wrong { return wrong }
        if let gone = found.gone { return "gone, now from \(gone)" }
        guard found.through == Self.lastLSN(of: frames - 1) else {
            return "through \(found.through) of \(frames) frames"
        }
        let expected = Self.expected(from: feed.earliestLSN, frames: frames)
        return found.indices == expected ? nil : "\(found.indices) and not \(expected)"
    }
}

/// Counts how often it was woken.
final class CountingWaker: Waker {
    private let cell = Guarded(0)

    var count: Int { self.cell.withLock { $0 } }

    func wake() { self.cell.withLock { $0 += 1 } }
}
