import Bytes
import Testing

@testable import Storage

/// Headers with right checksums that are not of this release.
@Suite struct FilePreambleTests {
    enum Kind: CaseIterable { case segment, snapshot, logEnd, feed }
    /// What a header is taken for.
    enum Verdict { case accepted, newer, rejected }

    private static let directory = DirectoryID(high: 7, low: 9)
    private static let versionOffset = 8
    private static let reservedOffset = 12

    private static func header(_ kind: Kind) -> [UInt8] {
        var buffer = ByteBuffer()
        switch kind {
        case .segment:
            SegmentHeader(
                directoryID: self.directory, number: 1, firstFrame: 1, firstLSN: 1,
                previousHeaderCRC: 0
            ).write(into: &buffer)
        case .snapshot:
            let position = SnapshotPosition(
                lsn: 1, receivedAt: 1, rulesVersion: 1, resultsDigest: 1,
                log: LogPosition(index: 2, check: 3))
            _ = SnapshotHeader(directoryID: self.directory, position: position)
                .write(into: &buffer)
        case .logEnd:
            LogEnd(directoryID: self.directory, sequence: 1, segment: 1, nextFrame: 1, nextLSN: 1)
                .write(into: &buffer)
        case .feed:
            FeedSegmentHeader(directoryID: self.directory, firstLSN: 1, oldestAt: 1)
                .write(into: &buffer)
        }
        return Array(buffer.bytes)
    }

    private static func verdict(_ kind: Kind, _ bytes: [UInt8]) -> Verdict {
        bytes.withUnsafeBytes { bytes in
            switch kind {
            case .segment:
                switch SegmentHeader.read(bytes) {
                case .header: .accepted
                case .newer: .newer
                case .damaged: .rejected
                }
            case .snapshot:
                switch SnapshotHeader.read(bytes) {
                case .header: .accepted
                case .newer: .newer
                case .damaged: .rejected
                }
            case .logEnd: LogEnd(bytes) == nil ? .rejected : .accepted
            case .feed: FeedSegmentHeader.read(bytes) == nil ? .rejected : .accepted
            }
        }
    }

    /// The header with another byte, and the checksum of it.
    private static func header(_ kind: Kind, with byte: UInt8, at offset: Int) -> [UInt8] {
        var bytes = self.header(kind)
        bytes[offset] = byte
        let body = bytes.count - 4
        let crc = bytes.withUnsafeBytes { crc32c(UnsafeRawBufferPointer(rebasing: $0[..<body])) }
        withUnsafeBytes(of: crc.littleEndian) { bytes.replaceSubrange(body..., with: $0) }
        return bytes
    }

    @Test(arguments: Kind.allCases) func headerOfThisReleaseIsAccepted(kind: Kind) {
        #expect(Self.verdict(kind, Self.header(kind)) == .accepted)
        // Its checksum is what `header(_:with:at:)` makes.
        #expect(Self.header(kind, with: 1, at: Self.versionOffset) == Self.header(kind))
    }

    @Test(arguments: Kind.allCases) func headerOfAnOlderVersionIsRejected(kind: Kind) {
        let older = Self.header(kind, with: 0, at: Self.versionOffset)
        #expect(Self.verdict(kind, older) == .rejected)
    }

    @Test(arguments: Kind.allCases) func headerOfANewerVersionIsNotTakenForThisOne(kind: Kind) {
        let newer = Self.header(kind, with: 2, at: Self.versionOffset)
        let isTold = kind == .segment || kind == .snapshot
        #expect(Self.verdict(kind, newer) == (isTold ? .newer : .rejected))
    }

    @Test(arguments: Kind.allCases) func reservedBytesThatAreNotZeroAreRejected(kind: Kind) {
        let reserved = Self.header(kind, with: 1, at: Self.reservedOffset)
        #expect(Self.verdict(kind, reserved) == .rejected)
    }

    @Test(arguments: Kind.allCases) func foreignMagicIsRejected(kind: Kind) {
        let foreign = Self.header(kind, with: 0, at: 0)
        #expect(Self.verdict(kind, foreign) == .rejected)
    }
}
