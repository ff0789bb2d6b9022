import Bytes

/// The first 64 bytes of a segment of the feed.
///
/// Layout, little-endian:
/// `magic: 8 bytes | version: UInt32 | zero: UInt32 | directoryID: 16 bytes, big-endian | firstLSN:
/// UInt64 | oldestAt: Int64 µs | zero: 12 bytes | crc: UInt32` over the 60 bytes before. Source:
/// docs/formats/feed.md, "Segments".
struct FeedSegmentHeader: Equatable {
    static let bytes = 64
    static let version: UInt32 = 1
    /// `PRFLFED` and a zero.
    static let magic: UInt64 = 0x0044_4546_4C46_5250

    var directoryID: DirectoryID
    /// The position at which it begins: the feed is whole from there on.
    var firstLSN: UInt64
    /// What the machine's clock said at its oldest change, in microseconds since 1970.
    var oldestAt: Int64

    /// What the checksums of its blocks begin with, so that a block of another directory or segment
    /// never verifies.
    var seed: UInt32 {
        // SAFETY: an integer's own bytes, borrowed for the call.
        withUnsafeBytes(of: self.firstLSN.littleEndian) {
            crc32c($0, continuing: self.directoryID.seed)
        }
    }

    func write(into buffer: inout ByteBuffer) {
        let start = buffer.count
        FilePreamble(version: Self.version, directoryID: self.directoryID)
            .write(magic: Self.magic, into: &buffer)
        buffer.append(self.firstLSN)
        buffer.append(self.oldestAt)
        buffer.append(UInt64(0))
        buffer.append(UInt32(0))
        buffer.append(crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...])))
    }

    /// Reads a header of this version; `nil` for anything else. A newer one is no error here: what
    /// this release cannot read it makes again.
    static func read(_ bytes: UnsafeRawBufferPointer) -> FeedSegmentHeader? {
        guard bytes.count >= Self.bytes else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        var reader = ByteReader(bytes)
        guard let preamble = FilePreamble(from: &reader, magic: Self.magic),
            preamble.isExactly(Self.version)
        else { return nil }
        let header = FeedSegmentHeader(
            directoryID: preamble.directoryID, firstLSN: reader.read(), oldestAt: reader.read())
        let (zero, secondZero): (UInt64, UInt32) = (reader.read(), reader.read())
        guard reader.read(UInt32.self) == crc32c(body), zero == 0, secondZero == 0,
            LogNumber.allowed.contains(header.firstLSN), FeedOptions.times.contains(header.oldestAt)
        else { return nil }
        return header
    }
}
