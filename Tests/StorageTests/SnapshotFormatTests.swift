import Foundation
import IOSimulation
import Storage
import Testing

/// The format as documented and as once written: neither the page nor the golden files may drift
/// from the code (L15).
@Suite struct SnapshotFormatTests {
    /// The bytes of the example in docs/formats/snapshot.md.
    private static func documentedExample() throws -> [UInt8] {
        try DocumentedExample.bytes(of: "snapshot.md")
    }

    private static let name = "0000000000000001.snapshot"
    private static let position = SnapshotPosition(
        lsn: 1, receivedAt: 1_700_000_000_000_000, rulesVersion: 1,
        resultsDigest: 0x0102_0304_0506_0708, log: LogPosition(index: 3, check: 0x2A6C_E59E))

    @Test func documentedExampleIsReadAsThePageSays() throws {
        let fixture = LogFixture(
            SimulatedDisk(DiskState(files: [("d/\(Self.name)", try Self.documentedExample())])))
        var reader = try SnapshotReader(fixture.environment, name: Self.name)
        #expect(reader.directoryID == LogFixture.directoryID)
        #expect(reader.position == Self.position)
        #expect(try reader.next().map(Array.init) == Array("hello".utf8))
        #expect(try reader.next() == nil)
        #expect(reader.verified(name: Self.name).blocks == 1)
    }

    @Test func documentedExampleIsWhatIsWritten() throws {
        let fixture = LogFixture()
        let writer = try SnapshotWriter(
            fixture.environment, directoryID: LogFixture.directoryID, position: Self.position)
        try Array("hello".utf8).withUnsafeBytes { try writer.append($0) }
        let file = try writer.finish()
        #expect(file.name == Self.name && file.blocks == 1)
        #expect(try fixture.files.map(\.content) == [Self.documentedExample()])
        #expect(file.bytes == fixture.files[0].content.count)
    }

    @Test func L15_goldenSnapshotOfVersion1IsLoaded() throws {
        // Frames 0 to 11, a snapshot after 8 of them, a seal. Never written by a test.
        let folder = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
            .appendingPathComponent("snapshot-v1")
        let names = ["0000000000000001.log", "0000000000000002.log", "0000000000000018.snapshot"]
        let files = try names.map {
            ("d/\($0)", [UInt8](try Data(contentsOf: folder.appendingPathComponent($0))))
        }
        // Both with all of the log and with what the snapshot needs.
        for kept in [files, Array(files[1...])] {
            let fixture = LogFixture(SimulatedDisk(DiskState(files: kept)))
            try fixture.open()
            #expect(fixture.replayed == 12 && fixture.target.framesLoaded == 8)
            #expect(fixture.report.snapshot?.position.lsn == 24)
            #expect(
                fixture.report.frames == 4 && fixture.report.tornTail == nil
                    && fixture.report.framesCopied == 0)
        }
    }

    /// A directory with an older snapshot, and one with a whole log: both could do without the
    /// newest snapshot.
    private static let snapshots = [[10, 20], [20]]

    /// The newest snapshot of a directory, its header changed and its checksum made right.
    private static func changed(
        snapshots: [Int], _ change: (inout [UInt8]) -> Void
    ) throws -> [(path: String, content: [UInt8])] {
        var files = try LogFixture.written(frames: 30, snapshotsAfter: snapshots).files
        let index = try #require(LogFixture.snapshot(in: files))
        change(&files[index].content)
        files[index].content.replaceSubrange(
            76 ..< 80, with: SlowChecksum.bytes(of: files[index].content[..<76]))
        return files
    }

    private static func rejection(_ files: [(path: String, content: [UInt8])]) -> StorageError? {
        let disk = SimulatedDisk(DiskState(files: files))
        do throws(StorageError) {
            try LogFixture(disk).open()
            return nil
        } catch {
            #expect(disk.operationCount == 0, "a refusal changes no byte")
            return error
        }
    }

    @Test(arguments: snapshots)
    func L15_newerSnapshotIsRejectedByNameAndNotFallenBackFrom(snapshots: [Int]) throws {
        let files = try Self.changed(snapshots: snapshots) { $0[8] = 2 }
        let error = Self.rejection(files)
        #expect(error == .newerFormat(file: "d/000000000000003c.snapshot", version: 2))
        #expect(
            error?.description
                == "d/000000000000003c.snapshot has format 2, this release reads up to 1")
    }

    @Test(arguments: snapshots)
    func L12_snapshotOfAnotherDirectoryIsRejectedAndNotFallenBackFrom(snapshots: [Int]) throws {
        let files = try Self.changed(snapshots: snapshots) { $0[16] ^= 1 }
        #expect(Self.rejection(files) == .foreign(file: "d/000000000000003c.snapshot"))
    }

    @Test func L12_contentThatIsNotUnderstoodIsRejectedAndNotFallenBackFrom() throws {
        // Every checksum is right; the target says no to the content: to its first block, or at its
        // end.
        for blocks in [[Array("no such item".utf8)], []] as [[[UInt8]]] {
            let fixture = LogFixture()
            try fixture.open()
            for index in 1 ..< 10 { try fixture.write(index) }
            try fixture.writeSnapshot(after: 10)
            try fixture.write(10)
            let writer = try fixture.beginSnapshot(after: 11)
            for block in blocks { try block.withUnsafeBytes { try writer.append($0) } }
            let file = try writer.finish()
            #expect(Self.rejection(fixture.files) == .snapshotRejected(file: "d/\(file.name)"))
        }
    }

    @Test func L12_framesBelowThePositionAreCheckedAndNotReplayed() throws {
        // A position within a segment: this program does not make such, a reader must not depend on
        // it.
        let fixture = LogFixture(segmentBytes: 32 << 10)
        try fixture.open()
        for index in 1 ..< 10 { try fixture.write(index) }
        try fixture.seal(after: 9)
        let nextFrame = fixture.opened.nextFrameNumber
        let used = try #require(fixture.files.first { $0.path.hasSuffix(".log") }).content
        let end = try #require(used.lastIndex { $0 != 0 }) + 1
        // The checksum of the seal's header: the last four bytes.
        let crc = used[..<end].suffix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        for (frames, difference) in [(10, 0), (10, 1)] as [(Int, UInt32)] {
            let again = LogFixture(SimulatedDisk(fixture.disk.snapshot), segmentBytes: 32 << 10)
            var position = LogFixture.position(after: frames, at: nil)
            position.log = LogPosition(index: nextFrame, check: crc &+ difference)
            let writer = try SnapshotWriter(
                again.environment, directoryID: LogFixture.directoryID, position: position)
            let content = SnapshotContent(frames: frames)
            for index in 0 ..< content.blocks {
                try LogFixture.write(block: index, of: content, to: writer)
            }
            _ = try writer.finish()
            if difference == 0 {
                try again.open()
                #expect(
                    again.replayed == 10 && again.target.framesLoaded == 10
                        && again.report.frames == 0)
            } else {
                guard case .corruption = Self.rejection(again.files) else {
                    Issue.record("the position is that of another log")
                    return
                }
            }
        }
    }
}
