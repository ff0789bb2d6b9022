import Bytes
import Testing

@testable import Storage

/// Checksums are no secret: numbers that no log has may stand behind them, and whoever adds one to
/// such a number would trap.
@Suite struct LogNumberTests {
    private static let directoryID = DirectoryID(high: 1, low: 2)
    static let impossible: [UInt64] = [0, LogNumber.allowed.upperBound + 1, .max]

    private static func bytes(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        write(&buffer)
        return Array(buffer.bytes)
    }

    @Test(arguments: impossible + [7])
    func segmentsHavePossibleNumbers(number: UInt64) {
        let fields: [WritableKeyPath<SegmentHeader, UInt64>] = [\.number, \.firstFrame, \.firstLSN]
        for field in fields {
            var header = SegmentHeader(
                directoryID: Self.directoryID, number: 1, firstFrame: 1, firstLSN: 1,
                previousHeaderCRC: 0)
            header[keyPath: field] = number
            let found = Self.bytes { header.write(into: &$0) }.withUnsafeBytes {
                SegmentHeader.read($0)
            }
            #expect(found == (number == 7 ? .header(header) : .damaged))
        }
        let name = SegmentFiles.name(of: number)
        #expect(SegmentFiles.number(of: name) == (number == 7 ? number : nil))
    }

    @Test(arguments: impossible + [7])
    func framesHavePossibleNumbers(number: UInt64) {
        let fields: [WritableKeyPath<FrameHeader, UInt64>] = [\.number, \.firstLSN]
        for field in fields {
            var header = FrameHeader(
                kind: .records, segment: 1, number: 1, payloadBytes: 0, operationCount: .max,
                firstLSN: 1, receivedAt: 0, rulesVersion: 1, previousHeaderCRC: 0,
                previousResultsDigest: 0, payloadCRC: 0)
            header[keyPath: field] = number
            let found = Self.bytes { _ = header.write(into: &$0, seed: 3) }.withUnsafeBytes {
                FrameHeader.read($0, seed: 3)
            }
            #expect(found?.header == (number == 7 ? header : nil))
        }
    }

    /// It has no records: a log would go on behind lsns that nobody has seen.
    @Test(arguments: [0, 1] as [UInt32])
    func sealsCountNoOperations(count: UInt32) {
        let header = FrameHeader(
            kind: .seal, segment: 1, number: 1, payloadBytes: 0, operationCount: count,
            firstLSN: 1, receivedAt: 0, rulesVersion: 1, previousHeaderCRC: 0,
            previousResultsDigest: 0, payloadCRC: 0)
        let found = Self.bytes { _ = header.write(into: &$0, seed: 3) }.withUnsafeBytes {
            FrameHeader.read($0, seed: 3)
        }
        #expect(found?.header == (count == 0 ? header : nil))
    }

    @Test(arguments: impossible + [7])
    func notedEndsHavePossibleNumbers(number: UInt64) {
        let fields: [WritableKeyPath<LogEnd, UInt64>] = [
            \.sequence, \.segment, \.nextFrame, \.nextLSN,
        ]
        for field in fields {
            var end = LogEnd(
                directoryID: Self.directoryID, sequence: 1, segment: 1, nextFrame: 1, nextLSN: 1)
            end[keyPath: field] = number
            let found = Self.bytes { end.write(into: &$0) }.withUnsafeBytes { LogEnd($0) }
            #expect(found == (number == 7 ? end : nil))
        }
    }

    @Test(arguments: impossible.dropFirst() + [7])
    func snapshotsHavePossibleNumbers(number: UInt64) {
        for (nextLSN, nextFrame) in [(number, 1), (1, number)] as [(UInt64, UInt64)] {
            let header = SnapshotHeader(
                directoryID: Self.directoryID,
                position: SnapshotPosition(
                    lsn: nextLSN - 1, receivedAt: 0, rulesVersion: 1, resultsDigest: 0,
                    log: LogPosition(index: nextFrame, check: 0)))
            var crc: UInt32 = 0
            let found = Self.bytes { crc = header.write(into: &$0) }.withUnsafeBytes {
                SnapshotHeader.read($0)
            }
            #expect(found == (number == 7 ? .header(header, crc: crc) : .damaged))
        }
    }
}
