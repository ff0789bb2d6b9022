import Bytes
import IOSimulation
import Testing

@testable import Storage

/// What bytes may count as a frame, and which frame as the next one.
@Suite struct FrameRulesTests {
    /// Starts of the frames in a segment, the first of the directory included, and the end of the
    /// last.
    private static func bounds(_ content: [UInt8]) -> [Int] {
        var starts = [SegmentHeader.bytes]
        while let last = starts.last, last + FrameHeader.bytes <= content.count {
            let frame = content[last...].withUnsafeBytes { bytes -> Int? in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[...])
                return FrameHeader.read(rest, seed: LogFixture.directoryID.seed)?.header.totalBytes
            }
            guard let frame else { break }
            starts.append(last + frame)
        }
        return starts
    }

    @Test func L1_headerWithALengthOverTheBoundIsInvalid() {
        for (length, isHeader) in [
            (FrameHeader.payloadBytesMax, true), (FrameHeader.payloadBytesMax + 1, false),
        ] {
            var buffer = ByteBuffer()
            let header = FrameHeader(
                kind: .records, segment: 1, number: 1, payloadBytes: length, operationCount: 1,
                firstLSN: 1, receivedAt: 0,
                rulesVersion: 1, previousHeaderCRC: 0, previousResultsDigest: 0, payloadCRC: 0)
            _ = header.write(into: &buffer, seed: 7)
            // Its checksum is right, and the payload is not there at all: the length is tested
            // before anything is read.
            #expect((FrameHeader.read(buffer.bytes, seed: 7) != nil) == isHeader)
        }
    }

    @Test func L1_everyFrameStartsOnEightBytes() throws {
        let fixture = try LogFixture.written(frames: 9, segmentBytes: 32 << 10)
        let starts = Self.bounds(
            try #require(fixture.files.first { $0.path.hasSuffix(".log") }).content)
        #expect(starts.count == 11)
        #expect(starts.allSatisfy { $0 % 8 == 0 })
    }

    @Test func L5_staleFrameBehindTheLastIsNotReplayed() throws {
        // What a reused segment or block may show: whole frames, with right checksums, that were
        // written before, here or elsewhere.
        let fixture = try LogFixture.written(frames: 40)
        let files = fixture.files
        let logs = files.indices.filter { files[$0].path.hasSuffix(".log") }
        let last = try #require(logs.last)
        let end = try #require(Self.bounds(files[last].content).last)
        var met = 0
        for source in logs {
            let starts = Self.bounds(files[source].content)
            for (start, stop) in zip(starts, starts.dropFirst()) {
                var damaged = files
                damaged[last].content.replaceSubrange(
                    end..., with: files[source].content[start ..< stop])
                let reader = LogFixture(SimulatedDisk(DiskState(files: damaged)))
                do throws(StorageError) {
                    try reader.open()
                    #expect(
                        reader.replayed == 41, "stale frame of \(files[source].path) at \(start)")
                } catch {
                    // Of this very segment: a write that went astray, which no crash explains. L2:
                    // a repeat is corruption.
                    #expect(source == last, "\(error)")
                }
                met += 1
            }
        }
        #expect(met > 10)
    }

    /// Whole frames with right checksums in the wrong place, and one of another history in the
    /// right place: what a write that went astray, or one that was lost, leaves. All frames have
    /// the same size.
    static func misplaced() throws -> [[(path: String, content: [UInt8])]] {
        func written(digestOfSixth digest: UInt64) throws -> LogFixture {
            let fixture = LogFixture(segmentBytes: 32 << 10)
            try fixture.open()
            for index in 1 ... 12 {
                try [UInt8](repeating: UInt8(index), count: 40).withUnsafeBytes { payload in
                    var contents = LogFixture.contents(index, payload: payload)
                    if index == 6 { contents.results.digest = digest }
                    try fixture.opened.write(contents)
                }
                try fixture.opened.commit()
            }
            _ = try fixture.cut(after: 13)
            return fixture
        }
        let files = try written(digestOfSixth: 6).files
        let other = try written(digestOfSixth: 7).files
        let index = try #require(files.firstIndex { $0.path.hasSuffix(".log") })
        let starts = Self.bounds(files[index].content)
        func frame(_ number: Int, of content: [UInt8]) -> ArraySlice<UInt8> {
            content[starts[number] ..< starts[number + 1]]
        }
        var result: [[(path: String, content: [UInt8])]] = []
        for (first, second) in [(2, 3), (3, 2), (1, 11), (11, 1), (6, 5)] {
            var changed = files
            changed[index].content.replaceSubrange(
                starts[first] ..< starts[first + 1], with: frame(second, of: files[index].content))
            result.append(changed)
            changed[index].content.replaceSubrange(
                starts[second] ..< starts[second + 1], with: frame(first, of: files[index].content))
            result.append(changed)
        }
        var changed = files
        changed[index].content.replaceSubrange(
            starts[6] ..< starts[7], with: frame(6, of: other[index].content))
        #expect(changed[index].content != files[index].content)
        return result + [changed]
    }

    @Test func L2_wholeFrameInTheWrongPlaceOrOfAnotherHistoryIsCorruption() throws {
        for files in try Self.misplaced() {
            let fixture = LogFixture(SimulatedDisk(DiskState(files: files)), segmentBytes: 32 << 10)
            do throws(StorageError) {
                _ = try SegmentedLog.inspect(fixture.environment, target: FrameTarget { _ in true })
                Issue.record("not seen")
            } catch {
                guard case .corruption = error else { throw error }
            }
        }
    }
}
