import IOSimulation
import Storage
import Testing

/// F7: whatever happens to a snapshot behind our back, a start does without it or refuses; never
/// does it load other than what was written.
@Suite struct SnapshotDamageTests {
    private typealias Files = [(path: String, content: [UInt8])]

    /// What starts made of damage.
    private struct Split {
        var fellBack = 0
        var refused = 0
        /// Damage that changed nothing: a block of zeros overwritten with zeros.
        var void = 0
        /// What should not be, in words.
        var wrong: [String] = []

        var total: Int { self.fellBack + self.refused }
    }

    private static let frames = 30
    private static let older = 10
    private static let newer = 20
    /// Blocks of the snapshot that is damaged block by block; about 200 bytes each.
    private static let blocks = Scale.of("PROFILES_DAMAGE_BLOCKS", otherwise: 90)
    /// Pairs of its blocks that are swapped, and written over each other.
    private static let pairs = Scale.of("PROFILES_DAMAGE_PAIRS", otherwise: 400)
    /// Blocks of the one of which each bit is flipped.
    private static let bitBlocks = Scale.of("PROFILES_DAMAGE_BIT_BLOCKS", otherwise: 3)

    /// Two snapshots and the log behind the older one.
    private static func written(blocks: Int) throws -> Files {
        try LogFixture.written(
            frames: Self.frames, snapshotsAfter: [Self.older, Self.newer], blocks: blocks
        ).files
    }

    /// The newest snapshot alone, with the log behind it: there is nothing to fall back to.
    private static func withoutOlder(_ files: Files) throws -> Files {
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        let report = try #require(
            try SegmentedLog.inspect(fixture.environment, target: CheckingTarget()))
        let logs = files.filter { $0.path.hasSuffix(".log") }
        return [files[try #require(LogFixture.snapshot(in: files))]] + logs.suffix(report.segments)
    }

    /// Starts on `files` with the newest snapshot replaced.
    private static func start(
        _ files: Files, with content: [UInt8], _ split: inout Split,
        _ text: @autoclosure () -> String
    ) throws {
        let index = try #require(LogFixture.snapshot(in: files))
        guard files[index].content != content else {
            split.void += 1
            return
        }
        var damaged = files
        damaged[index].content = content
        let disk = SimulatedDisk(DiskState(files: damaged))
        let fixture = LogFixture(disk)
        do throws(StorageError) {
            try fixture.open()
        } catch {
            switch error {
            case .snapshotDamaged where disk.operationCount == 0: split.refused += 1
            default: split.wrong.append("\(text()): \(error)")
            }
            return
        }
        if fixture.replayed == Self.frames, fixture.target.framesLoaded == Self.older,
            fixture.report.snapshotsSkipped.count == 1
        {
            split.fellBack += 1
        } else {
            split.wrong.append(
                "\(text()): \(fixture.target.framesLoaded) frames loaded, \(fixture.replayed) in "
                    + "all"
            )
        }
    }

    /// Each block of one size of the newest snapshot replaced by what `replacement` makes of its
    /// place.
    private static func replaceBlocks(
        _ files: Files, of size: Int, _ split: inout Split, _ what: String,
        by replacement: (Range<Int>, [UInt8]) -> ArraySlice<UInt8>
    ) throws {
        let content = files[try #require(LogFixture.snapshot(in: files))].content
        for start in stride(from: 0, to: content.count, by: size) {
            let block = start ..< min(start + size, content.count)
            var changed = content
            changed.replaceSubrange(block, with: replacement(block, content))
            try Self.start(files, with: changed, &split, "\(what) at \(start), \(size) bytes")
        }
    }

    private static func report(_ split: Split, _ what: String) {
        print(
            "F7: \(what): \(split.total) damages: \(split.fellBack) fell back, "
                + "\(split.refused) refused, \(split.wrong.count) undetected"
        )
        #expect(split.wrong.isEmpty, "\(split.wrong.prefix(3))")
    }

    @Test(arguments: [512, 4096])
    func F7_overwrittenBlockIsSeen(size: Int) throws {
        let files = try Self.written(blocks: Self.blocks)
        let alone = try Self.withoutOlder(files)
        var split = Split()
        for directory in [files, alone] {
            for value in [0x00, 0xFF] as [UInt8] {
                try Self.replaceBlocks(directory, of: size, &split, "\(value)") { block, _ in
                    ArraySlice([UInt8](repeating: value, count: block.count))
                }
            }
        }
        Self.report(split, "\(size) bytes of zeros and of 0xFF")
        #expect(split.fellBack > 1 && split.refused == split.fellBack)
    }

    @Test(arguments: [512, 4096])
    func F7_staleBlockIsSeen(size: Int) throws {
        let files = try Self.written(blocks: Self.blocks)
        let before = files[try #require(LogFixture.snapshot(in: files, beforeNewest: 1))].content
        // An attempt at the same lsn that was abandoned, of which the disk still has blocks: the
        // same header, other content behind it.
        let attempt = try Self.written(blocks: Self.blocks + 1)
        let abandoned = attempt[try #require(LogFixture.snapshot(in: attempt))].content
        var split = Split()
        for directory in [files, try Self.withoutOlder(files)] {
            for stale in [before, abandoned] {
                try Self.replaceBlocks(directory, of: size, &split, "stale") { block, _ in
                    stale[min(block.lowerBound, stale.count) ..< min(block.upperBound, stale.count)]
                }
                // Everything up to a block's end, or from it on, is of the other file.
                try Self.replaceBlocks(directory, of: size, &split, "stale up to a block") {
                    block, content in
                    (stale + [UInt8](repeating: 0, count: content.count))[block]
                }
            }
        }
        Self.report(split, "\(size) bytes of an older snapshot and of one given up")
    }

    @Test(arguments: [512, 4096])
    func F7_swappedAndDuplicatedBlocksAreSeen(size: Int) throws {
        let files = try Self.written(blocks: Self.blocks)
        let content = files[try #require(LogFixture.snapshot(in: files))].content
        let count = content.count / size
        try #require(count > 2)
        var random = SeededRandom(seed: UInt64(size))
        var split = Split()
        for number in 0 ..< Self.pairs {
            // Neighbours first, then any two.
            let first = number < count - 1 ? number : random.below(count)
            let second = number < count - 1 ? number + 1 : random.below(count)
            guard first != second else { continue }
            let (one, other) = (
                first * size ..< (first + 1) * size, second * size ..< (second + 1) * size
            )
            var copied = content
            copied.replaceSubrange(one, with: content[other])
            try Self.start(files, with: copied, &split, "block \(second) over \(first)")
            copied.replaceSubrange(other, with: content[one])
            try Self.start(files, with: copied, &split, "blocks \(first) and \(second) swapped")
        }
        for block in 0 ..< count {
            var inserted = content
            inserted.insert(
                contentsOf: content[block * size ..< (block + 1) * size], at: block * size)
            try Self.start(files, with: inserted, &split, "block \(block) twice")
            inserted.removeSubrange(block * size ..< (block + 2) * size)
            try Self.start(files, with: inserted, &split, "without block \(block)")
        }
        Self.report(split, "blocks of \(size) bytes swapped, duplicated, left out")
    }

    @Test func F7_everyFlippedBitIsSeen() throws {
        let files = try Self.written(blocks: Self.bitBlocks)
        let content = files[try #require(LogFixture.snapshot(in: files))].content
        var split = Split()
        for byte in content.indices {
            for bit in 0 ..< 8 {
                var changed = content
                changed[byte] ^= 1 << bit
                try Self.start(files, with: changed, &split, "bit \(bit) of byte \(byte)")
            }
        }
        Self.report(split, "every bit of \(content.count) bytes")
        #expect(split.fellBack == content.count * 8)
    }

    @Test func F7_truncationAtEveryByteAndAnyAppendixAreSeen() throws {
        let files = try Self.written(blocks: Self.bitBlocks)
        let content = files[try #require(LogFixture.snapshot(in: files))].content
        var split = Split()
        for kept in content.indices {
            try Self.start(files, with: Array(content[..<kept]), &split, "cut at \(kept)")
            // The length is there, the content is not.
            let zeros = [UInt8](repeating: 0, count: content.count - kept)
            try Self.start(files, with: content[..<kept] + zeros, &split, "zeros from \(kept)")
        }
        for appendix in [[0], [UInt8](repeating: 0, count: 4096), content, Array(content[80...])] {
            try Self.start(
                files, with: content + appendix, &split, "\(appendix.count) bytes behind the footer"
            )
        }
        Self.report(split, "cut at every length of \(content.count)")
        #expect(split.fellBack + split.void == content.count * 2 + 4)
    }
}
