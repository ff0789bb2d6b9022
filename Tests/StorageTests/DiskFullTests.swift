import IOSimulation
import Storage
import Testing

/// L9: a full disk is seen before a write starts, and nothing but space is needed to go on.
@Suite struct DiskFullTests {
    /// Writes frames while the log says that it has headroom.
    ///
    /// - Returns: The frame that was not written for want of space.
    private static func writeWhileHeadroom(_ fixture: LogFixture, limit: Int = 1_000) throws -> Int
    {
        var next = fixture.replayed
        while next < limit, fixture.opened.headroom(isStopped: false) != .low {
            try fixture.write(next)
            next += 1
        }
        return next
    }

    /// A directory whose disk has the first segment and nothing else.
    private static func full() throws -> LogFixture {
        let fixture = LogFixture()
        try fixture.open()
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 4096)
        return fixture
    }

    /// Frames of the fixture are at most 1,576 bytes: every one ahead of the mark that fits a whole
    /// segment fits what is left.
    @Test func L9_headroomIsLowWithinTheReserveAndHighAgainWithTwoSegments() throws {
        let fixture = try Self.full()
        #expect(fixture.opened.headroom(isStopped: true) == .middle)
        var next = fixture.replayed
        while fixture.opened.headroom(isStopped: false) != .low {
            do throws(StorageError) {
                try fixture.write(next)
                next += 1
            } catch {
                // Too large for what is left; the others go on.
                try #require(error == .noSpace)
                break
            }
        }
        let operations = fixture.disk.operationCount
        #expect(fixture.opened.headroom(isStopped: true) != .high)
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 4096 + 2 * 4096 - 1)
        #expect(
            fixture.opened.headroom(isStopped: true) == .middle,
            "room for one segment: who has stopped waits, who writes goes on")
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 4096 + 2 * 4096)
        #expect(fixture.opened.headroom(isStopped: true) == .high)
        #expect(fixture.disk.operationCount == operations, "asking changes nothing")
        try fixture.write(next)
    }

    @Test func L9_aSpareSegmentIsHeadroomWhateverTheDiskHas() throws {
        let fixture = try Self.full()
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 2 * 4096)
        while try fixture.opened.preparer.prepare() {}
        #expect(fixture.opened.headroom(isStopped: true) == .high)
        let next = try Self.writeWhileHeadroom(fixture)
        #expect(fixture.opened.metrics.segments == 1, "it was used")
        try fixture.seal(after: next - 1)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == next)
    }

    @Test func L9_preparerBeginsNothingWithoutHeadroomForAll() throws {
        let fixture = try Self.full()
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 2 * 4096 - 1)
        let operations = fixture.disk.operationCount
        #expect(throws: (any Error).self) { _ = try fixture.opened.preparer.prepare() }
        #expect(fixture.disk.operationCount == operations)
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 2 * 4096)
        while try fixture.opened.preparer.prepare() {}
        #expect(fixture.opened.preparer.isReady)
    }

    @Test func L9_segmentsLeaveTheSpaceThatTheNextSnapshotNeeds() throws {
        let fixture = LogFixture()
        try fixture.open()
        try fixture.writeSnapshot(after: 1)
        let files = fixture.files
        let snapshot = try #require(files.first { $0.path.hasSuffix(".snapshot") }).content.count
        let used = files.reduce(0) { $0 + $1.content.count }
        fixture.disk.limit(toBytes: used + 4096 + snapshot)
        #expect(throws: (any Error).self) { _ = try fixture.opened.preparer.prepare() }
        fixture.disk.limit(toBytes: used + 2 * 4096 + snapshot)
        #expect(
            fixture.opened.headroom(isStopped: true) == .middle,
            "room for two segments, and none for a snapshot beside them")
        while try fixture.opened.preparer.prepare() {}
        #expect(fixture.opened.headroom(isStopped: true) == .high)
    }

    /// The sizes go past that of a seal, so that in some of them a frame ends where no seal would
    /// fit.
    @Test(arguments: Array(stride(from: 4096, to: 4096 + 400, by: 8)))
    func L9_sealFitsAFullSegmentSoThatAStartOnAFullDiskCopiesNothing(segmentBytes: Int) throws {
        let fixture = LogFixture(segmentBytes: segmentBytes)
        try fixture.open()
        fixture.disk.limit(toBytes: LogFixture.noteBytes + segmentBytes)
        var next = fixture.replayed
        while true {
            do throws(StorageError) {
                try fixture.write(next)
                next += 1
            } catch {
                try #require(error == .noSpace)
                break
            }
        }
        try fixture.seal(after: next - 1)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk, segmentBytes: segmentBytes)
        try again.open()
        #expect(again.replayed == next)
        #expect(again.report.framesCopied == 0)
    }

    @Test func L9_startWithoutASealFindsHeadroomForTheFramesItCopies() throws {
        let fixture = try LogFixture.written(frames: 12)
        let used = fixture.files.reduce(0) { $0 + $1.content.count }
        // Not for a segment of zeros, but for the tail.
        fixture.disk.limit(toBytes: used + 3_000)
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == 13)
        #expect(again.report.framesCopied > 0)
        // What follows extends the new segment.
        fixture.disk.limit(toBytes: used + 64_000)
        try again.write(13)
        let cut = LogFixture(fixture.disk.afterPowerCut(seed: 3))
        try cut.open()
        #expect(cut.replayed == 14)
    }

    @Test func L9_tornTailThatHasNoHeadroomToBeKeptDoesNotHoldAStartUp() throws {
        let origin = try LogFixture.written(frames: 12, sealedAfter: [11])
        var files = origin.files
        // The end of the last frame is torn.
        let segment = try #require(files.lastIndex { $0.path.hasSuffix(".log") })
        let last = try #require(files[segment].content.lastIndex { $0 != 0 })
        for offset in last - 40 ... last { files[segment].content[offset] ^= 0xA5 }
        let cut = LogFixture(SimulatedDisk(DiskState(files: files)))
        let used = cut.files.reduce(0) { $0 + $1.content.count }
        cut.disk.limit(toBytes: used + 100)
        try cut.open()
        #expect(cut.replayed == 12)
        let torn = try #require(cut.report.tornTail)
        #expect(torn.keptIn.isEmpty)
        #expect(!cut.files.contains { $0.path.contains("torn-") })
    }

    /// Rolling a frame back cuts the prepared zeros off too: later frames extend the file.
    @Test func L9_frameRolledBackInAPreparedSegmentLeavesAGoodLog() throws {
        for number in 1 ... 12 {
            let fixture = LogFixture()
            try fixture.open()
            while try fixture.opened.preparer.prepare() {}
            var next = try Self.writeUntilNextSegment(fixture)
            fixture.disk.plan(DiskFaultPlan(.noSpace, of: .writes, number: number))
            var rejections = 0
            for _ in 0 ..< 40 {
                do throws(StorageError) {
                    try fixture.write(next)
                    next += 1
                } catch {
                    try #require(error == .noSpace)
                    rejections += 1
                }
            }
            #expect(rejections == 1)
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect(cut.replayed == next)
        }
    }

    /// Every call that changes the disk finds no space once. Only a name that may be there ends the
    /// log.
    @Test func L9_noSpaceForTheNthChangeHealsUnlessASegmentMayHaveItsName() throws {
        var healed = 0
        var renames = 0
        var number = 1
        while true {
            let fixture = LogFixture()
            try fixture.open()
            fixture.disk.plan(DiskFaultPlan(.noSpace, of: .changes, number: number))
            var next = fixture.replayed
            var failure: StorageError?
            while next < 60 {
                do throws(StorageError) {
                    try fixture.write(next)
                    next += 1
                } catch {
                    failure = failure ?? error
                    guard error == .noSpace else { break }
                    let last = fixture.disk.operations.last
                    if case .sync = last { renames += 1 }
                }
            }
            guard fixture.disk.faultsHit == 1 else { break }
            if case .io(let error) = failure {
                #expect(
                    error.operation.description.hasPrefix("f"),
                    "a sync, of the file or the directory, is final: \(error.operation)")
            } else {
                healed += 1
                #expect(next == 60)
            }
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect((next ... next + 1).contains(cut.replayed))
            number += 1
        }
        #expect(healed > 60 && renames > 0)
    }

    @Test func L9_cutFindsASegmentWhereFramesFindNone() throws {
        // The snapshot that frees space must be able to begin: it needs a name, not 4096 bytes.
        let fixture = try Self.full()
        let next = try Self.writeUntilFull(fixture)
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 4096 + 400)
        #expect(throws: StorageError.noSpace) { try fixture.write(next) }
        _ = try fixture.cut(after: next)
        #expect(
            fixture.opened.headroom(isStopped: true) == .middle,
            "400 bytes are free and more than a sixteenth of a segment")
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 4096 + 300)
        #expect(
            fixture.opened.headroom(isStopped: true) == .low,
            "what the segment has not yet it would take from what is left")
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 8 * 4096)
        try fixture.write(next)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == next + 1)
    }

    private static func writeUntilFull(_ fixture: LogFixture) throws -> Int {
        var next = fixture.replayed
        while true {
            do throws(StorageError) {
                try fixture.write(next)
                next += 1
            } catch {
                try #require(error == .noSpace)
                return next
            }
        }
    }

    private static func writeUntilNextSegment(_ fixture: LogFixture) throws -> Int {
        var next = fixture.replayed
        while fixture.opened.metrics.segments == 0 {
            try fixture.write(next)
            next += 1
        }
        return next
    }
}
