import IOSimulation
import Storage
import Testing

/// F4 to F6: a log that was cut, flipped, or had blocks changed behind its back (L1, L2, L4).
@Suite struct DamageTests {
    /// What a start made of damage.
    private enum Outcome {
        case refused
        case truncated
        case unchanged
        case wrong(String)
    }

    /// Starts on `files`, changed at `path` by `change`, of which `whole` frames were good before.
    ///
    /// - Parameter sealed: Frames that a seal vouches for: they may not go in silence.
    private static func outcome(
        _ files: [(path: String, content: [UInt8])], at path: String, whole: Int, sealed: Int,
        _ change: (inout [UInt8]) -> Void
    ) -> Outcome {
        var damaged = files
        guard let index = damaged.firstIndex(where: { $0.path == path }) else {
            return .wrong("no such file")
        }
        change(&damaged[index].content)
        let disk = SimulatedDisk(DiskState(files: damaged))
        let fixture = LogFixture(disk)
        do throws(StorageError) {
            try fixture.open()
        } catch {
            if case .replayRejected = error {
                return .wrong("a frame with other content was replayed")
            }
            return disk.operationCount == 0 ? .refused : .wrong("refused after changing the disk")
        }
        if fixture.replayed == whole { return .unchanged }
        guard fixture.replayed >= sealed else {
            return .wrong("\(fixture.replayed) frames where a seal vouches for \(sealed)")
        }
        return fixture.report.tornTail == nil ? .wrong("frames gone in silence") : .truncated
    }

    private static func lastSegment(_ fixture: LogFixture) throws -> (
        path: String, content: [UInt8]
    ) {
        try #require(fixture.files.last { $0.path.hasSuffix(".log") })
    }

    /// Behind the last byte that is not zero.
    private static func usedBytes(_ content: [UInt8]) -> Int {
        (content.lastIndex { $0 != 0 } ?? -1) + 1
    }

    @Test func F4_truncationAtEveryByteKeepsTheLongestWholePrefix() throws {
        let fixture = try LogFixture.written(frames: 7)
        let files = fixture.files
        let last = try Self.lastSegment(fixture)
        var ends: [Int] = []
        var end = 64
        for index in 0 ... 7 {
            end += 72 + (LogFixture.payload(index).count + 7) / 8 * 8
            ends.append(end)
        }
        try #require(end < 4096, "all frames are in one segment")
        for kept in 0 ... last.content.count {
            var cut = files
            cut[try #require(cut.firstIndex { $0.path == last.path })].content.removeLast(
                last.content.count - kept)
            let reader = LogFixture(SimulatedDisk(DiskState(files: cut)))
            do throws(StorageError) {
                try reader.open()
            } catch {
                // Less than the first frame: such a file cannot come from a crash, because it has
                // its name only with that frame in it.
                guard kept < ends[0] else { throw error }
                continue
            }
            let wanted = ends.prefix { $0 <= kept }.count
            guard reader.replayed == wanted else {
                Issue.record("cut at \(kept): \(reader.replayed) frames instead of \(wanted)")
                return
            }
        }
        print("F4: \(last.content.count + 1) lengths, always the longest whole prefix")
    }

    @Test func F5_everyFlippedBitIsSeen() throws {
        // Frames, a seal, one more frame: only that one may be taken for a torn tail.
        let fixture = try LogFixture.written(frames: 4, sealedAfter: [3])
        let files = fixture.files
        let last = try Self.lastSegment(fixture)
        let used = Self.usedBytes(last.content)
        // Past the end of the frames every byte is zero; a sample of them is enough.
        let bytes = Array(0 ..< used) + Array(stride(from: used, to: last.content.count, by: 97))
        var (refused, truncated, unchanged) = (0, 0, 0)
        var unseen: [Int] = []
        for byte in bytes {
            for bit in 0 ..< 8 {
                switch Self.outcome(
                    files, at: last.path, whole: 5, sealed: 4, { $0[byte] ^= 1 << bit })
                {
                case .refused: refused += 1
                case .truncated: truncated += 1
                case .unchanged where byte >= used: unchanged += 1
                case .unchanged: unseen.append(byte)
                case .wrong(let text):
                    Issue.record("bit \(bit) of byte \(byte): \(text)")
                    return
                }
            }
        }
        print(
            "F5: \(bytes.count * 8) flips: \(refused) refused, \(truncated) taken for a torn tail, "
                + "\(unchanged) in unused zeros"
        )
        #expect(unseen.isEmpty)
        #expect(refused > 0 && truncated > 0)
    }

    @Test(arguments: [0x00, 0xFF] as [UInt8])
    func F6_overwrittenBlockIsSeen(value: UInt8) throws {
        let fixture = try LogFixture.written(frames: 60, sealedAfter: [20, 40, 60])
        let files = fixture.files
        let logs = files.filter { $0.path.hasSuffix(".log") }
        try #require(logs.count > 2)
        for (path, content) in logs {
            for start in stride(from: 0, to: content.count, by: 512) {
                let block = start ..< min(start + 512, content.count)
                guard content[block].contains(where: { $0 != value }) else { continue }
                // A block that takes the last seal away together with frames before it looks like a
                // frame that was never whole: one copy cannot tell. It must be reported all the
                // same.
                let takesLastSeal =
                    path == logs[logs.count - 1].path
                    && block.upperBound > Self.usedBytes(content) - 72
                let outcome = Self.outcome(
                    files, at: path, whole: 61, sealed: takesLastSeal ? 0 : 61
                ) { bytes in
                    for byte in block { bytes[byte] = value }
                }
                if case .wrong(let text) = outcome { Issue.record("\(path) at \(start): \(text)") }
            }
        }
    }

    @Test func F6_swappedBlocksAreSeen() throws {
        let fixture = try LogFixture.written(frames: 30, sealedAfter: [30])
        let files = fixture.files
        for (path, content) in files where path.hasSuffix(".log") && content.count >= 2048 {
            let outcome = Self.outcome(files, at: path, whole: 31, sealed: 31) { bytes in
                let first = Array(bytes[512 ..< 1024])
                bytes.replaceSubrange(512 ..< 1024, with: Array(bytes[1024 ..< 1536]))
                bytes.replaceSubrange(1024 ..< 1536, with: first)
            }
            guard case .refused = outcome else {
                Issue.record("\(path): \(outcome)")
                continue
            }
        }
    }

    @Test func L4_sealWhoseChecksumEndsInZerosIsStillSeen() throws {
        // The reader must not take the last byte that is not zero for the end of the last header:
        // one seal in 256 ends in a zero byte.
        var met = 0
        for frames in 1 ..< 900 where met < 2 {
            let fixture = try LogFixture.sealedBriefly(digest: UInt64(frames))
            let last = try Self.lastSegment(fixture)
            let sealEnd =
                64 + 72 + (LogFixture.payload(0).count + 7) / 8 * 8 + 72
                + (LogFixture.payload(1).count + 7) / 8 * 8 + 72
            guard last.content[sealEnd - 1] == 0 else { continue }
            met += 1
            let frameStart = sealEnd - 72 - (LogFixture.payload(1).count + 7) / 8 * 8 - 72
            let outcome = Self.outcome(fixture.files, at: last.path, whole: 2, sealed: 2) {
                $0[frameStart + 80] ^= 1
            }
            guard case .refused = outcome else {
                Issue.record("digest \(frames): \(outcome)")
                return
            }
        }
        #expect(met == 2)
    }
}
