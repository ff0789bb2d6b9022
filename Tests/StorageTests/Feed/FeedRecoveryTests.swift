import IOCore
import IOSimulation
import Testing

@testable import Storage

/// A start cuts the feed behind its snapshot, and a replay makes the rest again.
@Suite struct FeedRecoveryTests {
    /// The disk of a feed of 80 frames, all of it synced.
    private static func disk() -> SimulatedDisk {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 80)
        _ = fixture.sync()
        return fixture.disk
    }

    /// Opens the feed behind a snapshot, and appends the frames behind that.
    private static func recovered(
        _ disk: SimulatedDisk, behind frames: Int, to end: Int = 80,
        directoryID: DirectoryID = FeedFixture.directoryID
    ) -> FeedFixture {
        let fixture = FeedFixture(SimulatedDisk(disk.snapshot))
        fixture.writer.open(directoryID: directoryID, behind: UInt64(frames) * 3)
        fixture.run(frames ..< end)
        return fixture
    }

    @Test func behindEverySnapshotTheFeedIsThatOfAnUninterruptedRun() {
        let disk = Self.disk()
        for frames in 1 ... 80 {
            let fixture = Self.recovered(disk, behind: frames)
            #expect(fixture.feed.earliestLSN == 1, "behind \(frames) frames")
            #expect(FeedFixture.complaint(fixture.feed, frames: 80) == nil, "behind \(frames)")
            _ = fixture.sync()
            let again = Self.recovered(fixture.disk, behind: 80)
            #expect(again.feed.earliestLSN == 1, "behind \(frames)")
            #expect(FeedFixture.complaint(again.feed, frames: 80) == nil, "behind \(frames)")
        }
    }

    @Test func openingChangesNothing() {
        let disk = Self.disk()
        let fixture = FeedFixture(SimulatedDisk(disk.snapshot))
        fixture.open(behind: 100)
        let changes = fixture.disk.operations.filter { $0 != .syncDirectory("d/feed") }
        #expect(changes == [])
    }

    @Test func withoutASnapshotTheFeedBeginsWithTheFirstRecord() {
        let fixture = Self.recovered(Self.disk(), behind: 0, to: 20)
        #expect(FeedFixture.complaint(fixture.feed, frames: 20) == nil)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs.first == 1)
        #expect(fixture.events == [], "what is behind the snapshot is no loss")
    }

    @Test func feedThatDoesNotReachTheSnapshotBeginsAnew() {
        let fixture = Self.recovered(Self.disk(), behind: 90, to: 100)
        #expect(fixture.feed.earliestLSN == 271)
        #expect(FeedFixture.complaint(fixture.feed, frames: 100) == nil)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs == [271])
        #expect(fixture.feed.metrics.losses == 1)
        #expect(FeedFixture.read(fixture.feed, from: 200).gone == 271)
    }

    @Test func feedOfAnotherDirectoryIsRemoved() {
        let fixture = Self.recovered(
            Self.disk(), behind: 80, to: 90, directoryID: DirectoryID(high: 1, low: 2))
        #expect(fixture.feed.earliestLSN == 241)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs == [241])
    }

    @Test func missingSegmentRaisesTheBeginningWhenItIsRead() throws {
        let disk = Self.disk()
        let lsns = FeedFixture(disk).segmentLSNs
        try #require(lsns.count > 4)
        let files = disk.snapshot.files.filter { !$0.path.hasSuffix(FeedFiles.name(of: lsns[1])) }
        let fixture = Self.recovered(SimulatedDisk(DiskState(files: files)), behind: 80)
        #expect(FeedFixture.read(fixture.feed, from: 1).gone == lsns[2])
        #expect(fixture.feed.earliestLSN == lsns[2])
        #expect(FeedFixture.complaint(fixture.feed, frames: 80) == nil)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs.first == lsns[2], "what nobody can read goes")
        #expect(fixture.feed.metrics.losses == 1)
    }

    @Test func temporaryFilesGoAndForeignFilesStay() {
        var files = Self.disk().snapshot.files
        files.append(("d/feed/00000000000000000007.feed.tmp", [1, 2, 3]))
        files.append(("d/feed/notes.txt", [4]))
        let fixture = Self.recovered(SimulatedDisk(DiskState(files: files)), behind: 80)
        fixture.pass(seconds: 2)
        let paths = fixture.disk.snapshot.files.map(\.path)
        #expect(!paths.contains { $0.hasSuffix(".tmp") })
        #expect(paths.contains("d/feed/notes.txt"))
        #expect(FeedFixture.complaint(fixture.feed, frames: 80) == nil)
    }

    @Test func positionIsDurableAlthoughNothingHasChanged() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 2)
        fixture.feed.advance(to: 9)
        #expect(fixture.sync() == true)
        let again = FeedFixture(SimulatedDisk(fixture.disk.snapshot))
        again.open(behind: 9)
        #expect(again.feed.earliestLSN == 1 && again.feed.headLSN == 9)
        #expect(FeedFixture.read(again.feed, from: 1).indices == [0, 1])
    }

    /// Every byte of a small feed, damaged: never a trap, never a frame that was not written, and
    /// what is read is whole from the beginning that is left.
    @Test func everyDamagedByteIsFoundOrHarmless() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 12)
        _ = fixture.sync()
        let files = fixture.disk.snapshot.files
        var losses = 0
        for (number, file) in files.enumerated() {
            for offset in file.content.indices {
                var damaged = files
                damaged[number].content[offset] ^= UInt8(1 << (offset % 8))
                let again = Self.recovered(
                    SimulatedDisk(DiskState(files: damaged)), behind: 12, to: 16)
                let first = FeedFixture.read(again.feed, from: again.feed.earliestLSN)
                #expect(first.wrong == nil, "\(file.path) byte \(offset)")
                #expect(
                    FeedFixture.complaint(again.feed, frames: 16) == nil,
                    "\(file.path) byte \(offset)")
                losses += again.feed.earliestLSN > 1 ? 1 : 0
            }
        }
        let bytes = files.reduce(0) { $0 + $1.content.count }
        #expect(losses == bytes, "\(losses) of \(bytes) damages were seen")
    }

    @Test func shortenedFileIsFound() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 30)
        _ = fixture.sync()
        let files = fixture.disk.snapshot.files
        for number in files.indices {
            for count in stride(from: 0, to: files[number].content.count, by: 13) {
                var damaged = files
                damaged[number].content = Array(damaged[number].content.prefix(count))
                let again = Self.recovered(
                    SimulatedDisk(DiskState(files: damaged)), behind: 30, to: 33)
                #expect(FeedFixture.read(again.feed, from: again.feed.earliestLSN).wrong == nil)
                #expect(FeedFixture.complaint(again.feed, frames: 33) == nil)
                #expect(again.feed.earliestLSN > 1)
            }
        }
    }
}
