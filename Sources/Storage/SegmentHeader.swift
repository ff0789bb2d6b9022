import Bytes
import CCRC32C

/// Continues a CRC-32C.
func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
    // SAFETY: pointer and count are of one borrowed buffer.
    profiles_crc32c(crc, bytes.baseAddress, bytes.count)
}

/// Names a data directory; in every segment header and inside every frame's checksum, so that
/// foreign bytes never parse.
package struct DirectoryID: Equatable, Sendable, BitwiseCopyable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// What checksums of this directory begin with.
    var seed: UInt32 {
        withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian)) { crc32c($0) }
    }
}

/// The first 64 bytes of a segment.
///
/// Layout, little-endian:
/// `magic: 8 bytes | version: UInt32 | zero: UInt32 | directoryID: 16 bytes, big-endian | number:
/// UInt64 | firstFrame: UInt64 | firstLSN: UInt64 | previousHeaderCRC: UInt32 | crc:
/// UInt32` over the 60 bytes before. Source: docs/formats/log.md.
struct SegmentHeader: Equatable {
    static let bytes = 64
    static let version: UInt32 = 1
    /// `PRFLSEG` and a zero.
    static let magic: UInt64 = 0x0047_4553_4C46_5250

    var directoryID: DirectoryID
    /// 1 for the first segment of a directory.
    var number: UInt64
    /// Frames of earlier segments from this number on are superseded.
    var firstFrame: UInt64
    var firstLSN: UInt64
    /// CRC of the header of the frame before the first; 0 for the first frame of all.
    var previousHeaderCRC: UInt32

    /// What the first frame continues.
    var chain: SegmentedLog.Chain {
        SegmentedLog.Chain(
            nextFrame: self.firstFrame, nextLSN: self.firstLSN,
            previousHeaderCRC: self.previousHeaderCRC)
    }

    func write(into buffer: inout ByteBuffer) {
        let start = buffer.count
        FilePreamble(version: Self.version, directoryID: self.directoryID)
            .write(magic: Self.magic, into: &buffer)
        buffer.append(self.number)
        buffer.append(self.firstFrame)
        buffer.append(self.firstLSN)
        buffer.append(self.previousHeaderCRC)
        buffer.append(crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...])))
    }

    /// What reading a header can find.
    enum Reading: Equatable {
        case header(SegmentHeader)
        case newer(version: UInt32)
        case damaged
    }

    static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard bytes.count >= Self.bytes else { return .damaged }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        var reader = ByteReader(bytes)
        guard let preamble = FilePreamble(from: &reader, magic: Self.magic) else {
            return .damaged
        }
        let header = SegmentHeader(
            directoryID: preamble.directoryID, number: reader.read(), firstFrame: reader.read(),
            firstLSN: reader.read(),
            previousHeaderCRC: reader.read())
        guard reader.read(UInt32.self) == crc32c(body) else { return .damaged }
        if preamble.version > Self.version { return .newer(version: preamble.version) }
        let numbers = [header.number, header.firstFrame, header.firstLSN]
        guard preamble.isExactly(Self.version), numbers.allSatisfy(LogNumber.allowed.contains)
        else { return .damaged }
        return .header(header)
    }
}
