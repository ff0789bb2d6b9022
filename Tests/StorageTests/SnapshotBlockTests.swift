import Bytes
import IOCore
import IOSimulation
import Storage
import Testing

/// Whole blocks in the wrong place, whatever is in them (F7), and the bounds of a block.
@Suite struct SnapshotBlockTests {
    /// Reads a file of blocks through the reader; returns the blocks, or what was found.
    private static func read(_ content: [UInt8], name: String = SnapshotBlockTests.name) throws
        -> [[UInt8]]
    {
        let fixture = LogFixture(SimulatedDisk(DiskState(files: [("d/\(name)", content)])))
        var reader = try SnapshotReader(
            fixture.environment, name: name, directoryID: LogFixture.directoryID)
        var blocks: [[UInt8]] = []
        while let block = try reader.next() { blocks.append(Array(block)) }
        return blocks
    }

    private static let name = "0000000000000006.snapshot"
    private static let position = SnapshotPosition(
        lsn: 6, receivedAt: 1_000, rulesVersion: 1, resultsDigest: 9,
        log: LogPosition(index: 4, check: 5))

    private static func written(
        _ payloads: [[UInt8]], position: SnapshotPosition = SnapshotBlockTests.position,
        directoryID: DirectoryID = LogFixture.directoryID
    ) throws -> [UInt8] {
        let fixture = LogFixture()
        let writer = try SnapshotWriter(
            fixture.environment, directoryID: directoryID, position: position)
        for payload in payloads { try payload.withUnsafeBytes { try writer.append($0) } }
        _ = try writer.finish()
        return try #require(fixture.files.first).content
    }

    /// Where each block begins, the footer last, and where the file ends.
    private static func starts(_ content: [UInt8]) -> [Int] {
        var starts = [80]
        content.withUnsafeBytes { bytes in
            while let start = starts.last, start < content.count {
                let payload = Int(bytes.loadUnaligned(fromByteOffset: start + 16, as: UInt32.self))
                starts.append(start + 32 + (payload + 7) / 8 * 8)
            }
        }
        return starts
    }

    @Test func blocksComeBackAsTheyWereWritten() throws {
        let payloads: [[UInt8]] = [
            [], [1], Array(0 ..< 8), Array(repeating: 7, count: 3_000_000), [9, 9],
        ]
        let content = try Self.written(payloads)
        #expect(try Self.read(content) == payloads)
        #expect(try Self.read(Self.written([])) == [])
        #expect(content.count % 8 == 0)
    }

    @Test func F7_wholeBlocksInTheWrongPlaceAreSeen() throws {
        // All blocks have the same content, so only their place tells them apart.
        let content = try Self.written([[UInt8]](repeating: Array(1 ... 40), count: 6))
        let starts = Self.starts(content)
        try #require(starts.count == 8)
        func block(_ index: Int) -> ArraySlice<UInt8> {
            content[starts[index] ..< starts[index + 1]]
        }
        var variants: [[UInt8]] = []
        for first in 0 ..< 6 {
            for second in 0 ..< 6 where first != second {
                var copied = content
                copied.replaceSubrange(starts[first] ..< starts[first + 1], with: block(second))
                variants.append(copied)
                copied.replaceSubrange(starts[second] ..< starts[second + 1], with: block(first))
                variants.append(copied)
            }
            var inserted = content
            inserted.insert(contentsOf: block(first), at: starts[first])
            variants.append(inserted)
            inserted.removeSubrange(starts[first] ..< starts[first + 2])
            variants.append(inserted)
        }
        for variant in variants {
            #expect(throws: StorageError.self) { _ = try Self.read(variant) }
        }
    }

    @Test func F7_blocksOfAnotherSnapshotOrDirectoryAreSeen() throws {
        // The same blocks in the same places, under another lsn, another directory, or behind other
        // blocks.
        let payloads = [[UInt8]](repeating: Array(1 ... 40), count: 6)
        let content = try Self.written(payloads)
        let starts = Self.starts(content)
        var later = Self.position
        later.lsn += 1
        var changed = payloads
        changed[0][0] = 0
        let others = [
            try Self.written(payloads, position: later),
            try Self.written(payloads, directoryID: DirectoryID(high: 1, low: 2)),
            try Self.written(changed),
        ]
        for other in others {
            for index in 1 ..< 7 {
                var mixed = content
                mixed.replaceSubrange(
                    starts[index] ..< starts[index + 1],
                    with: other[starts[index] ..< starts[index + 1]])
                #expect(throws: StorageError.self) { _ = try Self.read(mixed) }
                // Everything from a block on.
                mixed.replaceSubrange(starts[index]..., with: other[starts[index]...])
                #expect(throws: StorageError.self) { _ = try Self.read(mixed) }
            }
        }
    }

    @Test func lengthOfABlockIsNotBelievedPastTheEndOfTheFile() throws {
        // A header whose checksums are right, for more than there is: nothing of that size is asked
        // for.
        let content = try Self.written([Array(repeating: 3, count: 100_000)])
        for kept in [80, 111, 112, 113, 4096, 100_111] {
            #expect(throws: StorageError.self) { _ = try Self.read(Array(content[..<kept])) }
        }
    }

    @Test func fileUnderAnotherNameIsNotTheSnapshotOfThatName() throws {
        let content = try Self.written([[1]])
        #expect(throws: StorageError.self) {
            _ = try Self.read(content, name: "0000000000000007.snapshot")
        }
    }
}
