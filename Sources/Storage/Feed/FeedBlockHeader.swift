import Bytes

/// The 48 bytes before the frames of one block of a segment: the unit that is written and verified.
///
/// Layout, little-endian:
/// `magic: UInt32 | payloadBytes: UInt32 | firstLSN: UInt64 | throughLSN: UInt64 |
/// oldestAt: Int64 µs | zero: 8 bytes | payloadCRC: UInt32 | headerCRC: UInt32`.
/// Both checksums begin with the seed of the segment. Source: docs/formats/feed.md, "Blocks".
struct FeedBlockHeader: Equatable {
    static let bytes = 48
    /// `PFDB`.
    static let magic: UInt32 = 0x4244_4650
    /// Largest payload, in bytes: one frame.
    static let payloadBytesMax = FeedOptions.frameBytesMax

    /// 0: the block only says how far the feed has come.
    var payloadBytes: Int
    /// One behind the block before.
    var firstLSN: UInt64
    /// The feed is whole up to here, although the last operations may have changed nothing.
    var throughLSN: UInt64
    /// What the machine's clock said at its oldest change, in microseconds since 1970.
    var oldestAt: Int64
    var payloadCRC: UInt32

    /// Header and payload, in bytes.
    var totalBytes: Int { Self.bytes + self.payloadBytes }

    func write(into buffer: inout ByteBuffer, seed: UInt32) {
        let start = buffer.count
        buffer.append(Self.magic)
        buffer.append(UInt32(self.payloadBytes))
        buffer.append(self.firstLSN)
        buffer.append(self.throughLSN)
        buffer.append(self.oldestAt)
        buffer.append(UInt64(0))
        buffer.append(self.payloadCRC)
        buffer.append(
            crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...]), continuing: seed))
    }

    /// Reads a header whose checksum is right; `nil` for anything else.
    static func read(_ bytes: UnsafeRawBufferPointer, seed: UInt32) -> FeedBlockHeader? {
        guard bytes.count >= Self.bytes else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        var reader = ByteReader(bytes)
        guard reader.read(UInt32.self) == Self.magic else { return nil }
        let payloadBytes = Int(reader.read(UInt32.self))
        let (first, through): (UInt64, UInt64) = (reader.read(), reader.read())
        let oldestAt: Int64 = reader.read()
        let zero: UInt64 = reader.read()
        let header = FeedBlockHeader(
            payloadBytes: payloadBytes, firstLSN: first, throughLSN: through, oldestAt: oldestAt,
            payloadCRC: reader.read())
        guard reader.read(UInt32.self) == crc32c(body, continuing: seed), zero == 0,
            payloadBytes <= Self.payloadBytesMax, first <= through,
            LogNumber.allowed.contains(first), LogNumber.allowed.contains(through),
            FeedOptions.times.contains(oldestAt)
        else { return nil }
        return header
    }

    /// Whether `payload` is what was written, and whole frames.
    func verifies(_ payload: UnsafeRawBufferPointer, seed: UInt32) -> Bool {
        payload.count == self.payloadBytes && crc32c(payload, continuing: seed) == self.payloadCRC
            && FeedFrames.isWhole(payload, from: self.firstLSN, through: self.throughLSN)
    }
}
