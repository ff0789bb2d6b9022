import IOSimulation
import Storage
import Testing

/// F6: blocks of the log that are zeroed, filled with ones, stale, swapped or written over each
/// other, as disks and their caches do it.
@Suite struct LogBlockDamageTests {
    private typealias Files = [(path: String, content: [UInt8])]

    /// What starts made of damage.
    private struct Split {
        var refused = 0
        /// Taken for a torn tail and reported: only where the end of the log was hit.
        var truncated = 0
        /// Every frame of records is there: only a seal, or bytes behind the end, were hit.
        var complete = 0
        /// The end of the log looks as if it had never been written; one copy cannot tell.
        var neverWritten = 0
        /// Replaced by what it was.
        var void = 0
        /// What should not be, in words.
        var wrong: [String] = []

        var total: Int { self.refused + self.truncated + self.complete + self.neverWritten }
    }

    private static let frames = Scale.of("PROFILES_DAMAGE_FRAMES", otherwise: 90)
    private static let segmentBytes = Scale.of("PROFILES_DAMAGE_SEGMENT_BYTES", otherwise: 8192)
    /// Pairs of blocks that are swapped, and written over each other.
    private static let pairs = Scale.of("PROFILES_DAMAGE_PAIRS", otherwise: 250)

    /// A log with seals among its frames and at its end, and the versions that each block had
    /// before its last write.
    private struct Written {
        var files: Files
        var before: [String: [UInt8]]
        /// The last file of the log, and where its last frame is: a seal.
        var last: String
        var lastSeal: Range<Int>

        init(size: Int) throws {
            let frames = LogBlockDamageTests.frames
            let fixture = LogFixture(segmentBytes: LogBlockDamageTests.segmentBytes)
            try fixture.open()
            for index in 1 ... frames {
                try fixture.write(index)
                if index % 20 == 0 || index == frames { try fixture.seal(after: index) }
            }
            self.files = fixture.files
            self.before = Self.versionsBefore(fixture.disk.operations, size: size)
            let last = try #require(self.files.last { $0.path.hasSuffix(".log") })
            self.last = last.path
            let end = try #require(last.content.lastIndex { $0 != 0 }) / 8 * 8 + 8
            self.lastSeal = end - 72 ..< end
        }

        /// Each file as it would be if the last write that met a block had not reached it, for all
        /// its blocks.
        private static func versionsBefore(_ operations: [DiskOperation], size: Int) -> [String:
            [UInt8]]
        {
            var state = DiskState()
            var stale: [Int: [UInt8]] = [:]
            var paths: [Int: String] = [:]
            for operation in operations {
                switch operation {
                case .create(let path, let node):
                    paths[node] = path
                    stale[node] = []
                case .rename(let source, let target):
                    for (node, path) in paths where path == source { paths[node] = target }
                case .write(let node, let offset, let bytes):
                    let content = state.files.first { $0.path == paths[node] }?.content ?? []
                    let met =
                        offset / size * size ..< (offset + bytes.count + size - 1) / size * size
                    var old = stale[node] ?? []
                    if old.count < met.upperBound {
                        old += [UInt8](repeating: 0, count: met.upperBound - old.count)
                    }
                    let known = content[
                        min(met.lowerBound, content.count) ..< min(met.upperBound, content.count)]
                    old.replaceSubrange(
                        met, with: known + [UInt8](repeating: 0, count: met.count - known.count))
                    stale[node] = old
                default: break
                }
                state.apply(operation)
            }
            return Dictionary(uniqueKeysWithValues: paths.map { ($0.value, stale[$0.key] ?? []) })
        }

        /// Places of all blocks: the file's index and the bytes in it.
        func blocks(of size: Int) -> [(file: Int, bytes: Range<Int>)] {
            self.files.indices.filter { self.files[$0].path.hasSuffix(".log") }.flatMap { file in
                stride(from: 0, to: self.files[file].content.count, by: size).map {
                    (file, $0 ..< min($0 + size, self.files[file].content.count))
                }
            }
        }

        /// Starts on changed files.
        ///
        /// - Parameter changed: The blocks that were changed.
        func start(
            _ damaged: Files, changed: [(file: Int, bytes: Range<Int>)], _ split: inout Split,
            _ text: @autoclosure () -> String
        ) {
            guard
                changed.contains(where: {
                    self.files[$0.file].content[$0.bytes] != damaged[$0.file].content[$0.bytes]
                })
            else {
                split.void += 1
                return
            }
            let disk = SimulatedDisk(DiskState(files: damaged))
            let fixture = LogFixture(disk, segmentBytes: LogBlockDamageTests.segmentBytes)
            do throws(StorageError) {
                try fixture.open()
            } catch {
                switch error {
                case .corruption where disk.operationCount == 0: split.refused += 1
                // The last frames and the seal behind them: only their noted end is left.
                case .logLoss where disk.operationCount == 0: split.refused += 1
                default: split.wrong.append("\(text()): \(error)")
                }
                return
            }
            // A seal is behind every frame: frames may be missed only if that one was hit too. One
            // copy cannot tell then.
            let hitsEnd = changed.contains {
                self.files[$0.file].path == self.last && $0.bytes.overlaps(self.lastSeal)
            }
            if fixture.replayed == LogBlockDamageTests.frames + 1 {
                split.complete += 1
            } else if !hitsEnd {
                split.wrong.append("\(text()): \(fixture.replayed) frames")
            } else if fixture.report.tornTail != nil {
                split.truncated += 1
            } else {
                split.neverWritten += 1
            }
        }
    }

    private static func report(_ split: Split, _ what: String) {
        print(
            "F6: \(what): \(split.total) damages: \(split.refused) refused, "
                + "\(split.truncated) reported as a torn tail,",
            "\(split.complete) with every frame there, \(split.neverWritten) of the end as if "
                + "never written,",
            "\(split.wrong.count) undetected")
        #expect(split.wrong.isEmpty, "\(split.wrong.prefix(3))")
        #expect(split.neverWritten <= 4, "only the block with the end can be such")
        #expect(split.refused > split.total / 2)
    }

    @Test(arguments: [512, 4096])
    func F6_overwrittenBlockIsSeen(size: Int) throws {
        let written = try Written(size: size)
        var split = Split()
        for value in [0x00, 0xFF] as [UInt8] {
            for block in written.blocks(of: size) {
                var damaged = written.files
                damaged[block.file].content.replaceSubrange(
                    block.bytes, with: repeatElement(value, count: block.bytes.count))
                written.start(damaged, changed: [block], &split, "\(value) in \(block)")
            }
        }
        Self.report(split, "\(size) bytes of zeros and of 0xFF")
    }

    @Test(arguments: [512, 4096])
    func F6_staleBlockIsSeen(size: Int) throws {
        let written = try Written(size: size)
        var split = Split()
        for block in written.blocks(of: size) {
            // Of the segment before, in the same place; and of this segment, before the last write
            // that met the block.
            let older = written.files[max(0, block.file - 1)].content
            let before = written.before[written.files[block.file].path] ?? []
            for stale in [older, before] {
                var damaged = written.files
                let bytes =
                    (stale
                    + [UInt8](repeating: 0, count: max(0, block.bytes.upperBound - stale.count)))[
                        block.bytes]
                damaged[block.file].content.replaceSubrange(block.bytes, with: bytes)
                written.start(damaged, changed: [block], &split, "stale \(block)")
            }
        }
        Self.report(split, "\(size) bytes of another segment and of an earlier time")
    }

    @Test(arguments: [512, 4096])
    func F6_swappedAndDuplicatedBlocksAreSeen(size: Int) throws {
        let written = try Written(size: size)
        let blocks = written.blocks(of: size).filter { $0.bytes.count == size }
        try #require(blocks.count > 3)
        var random = SeededRandom(seed: UInt64(size))
        var split = Split()
        for number in 0 ..< Self.pairs {
            // Neighbours first, then any two.
            let first = number < blocks.count - 1 ? number : random.below(blocks.count)
            let second = number < blocks.count - 1 ? number + 1 : random.below(blocks.count)
            guard first != second else { continue }
            let (one, other) = (blocks[first], blocks[second])
            var damaged = written.files
            damaged[one.file].content.replaceSubrange(
                one.bytes, with: written.files[other.file].content[other.bytes])
            written.start(damaged, changed: [one], &split, "\(other) over \(one)")
            damaged[other.file].content.replaceSubrange(
                other.bytes, with: written.files[one.file].content[one.bytes])
            written.start(damaged, changed: [one, other], &split, "\(one) and \(other) swapped")
        }
        Self.report(split, "blocks of \(size) bytes swapped and written over another")
    }
}
