import Bytes

/// What a block holds; raw values stand on disk.
enum SnapshotBlockKind: UInt32 {
    /// Items of the state.
    case items = 1
    /// The end: how many blocks and bytes there were.
    case footer = 2
}

/// The 32 bytes before the payload of one block of a snapshot.
///
/// Layout, little-endian:
/// `magic: UInt32 | kind: UInt32 | number: UInt64 | payloadBytes: UInt32 | previousHeaderCRC:
/// UInt32 | payloadCRC: UInt32 | headerCRC:
/// UInt32`. Then the payload, then zeros to a multiple of 8. Source: docs/formats/snapshot.md.
struct SnapshotBlockHeader: Equatable {
    static let bytes = 32
    /// `PSBK`.
    static let magic: UInt32 = 0x4B42_5350
    static let alignmentBytes = 8
    /// Largest payload, in bytes: one item stands in one block, and the largest is the ledger of
    /// one profile.
    static let payloadBytesMax = 256 << 20

    var kind: SnapshotBlockKind
    /// From 0, +1 each, the footer included.
    var number: UInt64
    var payloadBytes: Int
    /// CRC of the block header before this one; of the file header in block 0.
    var previousHeaderCRC: UInt32
    var payloadCRC: UInt32

    /// Payload and padding, in bytes.
    var paddedBytes: Int {
        (self.payloadBytes + Self.alignmentBytes - 1) / Self.alignmentBytes * Self.alignmentBytes
    }

    /// Appends the header; returns its CRC, which the next header carries.
    func write(into buffer: inout ByteBuffer, seed: SnapshotSeed) -> UInt32 {
        let start = buffer.count
        buffer.append(Self.magic)
        buffer.append(self.kind.rawValue)
        buffer.append(self.number)
        buffer.append(UInt32(self.payloadBytes))
        buffer.append(self.previousHeaderCRC)
        buffer.append(self.payloadCRC)
        let crc = crc32c(
            UnsafeRawBufferPointer(rebasing: buffer.bytes[start...]),
            continuing: seed.block(self.number))
        buffer.append(crc)
        return crc
    }

    /// Reads the header of block `number` if its checksum is right; `nil` for anything else.
    static func read(
        _ bytes: UnsafeRawBufferPointer, number: UInt64, seed: SnapshotSeed
    ) -> (header: SnapshotBlockHeader, crc: UInt32)? {
        guard bytes.count >= Self.bytes else { return nil }
        var reader = ByteReader(bytes)
        guard reader.read(UInt32.self) == Self.magic,
            let kind = SnapshotBlockKind(rawValue: reader.read()),
            reader.read(UInt64.self) == number
        else { return nil }
        let header = SnapshotBlockHeader(
            kind: kind, number: number, payloadBytes: Int(reader.read(UInt32.self)),
            previousHeaderCRC: reader.read(),
            payloadCRC: reader.read())
        let crc = reader.read(UInt32.self)
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        guard crc == crc32c(body, continuing: seed.block(number)),
            header.payloadBytes <= Self.payloadBytesMax
        else { return nil }
        return (header, crc)
    }
}

/// What the checksums of one snapshot begin with: directory and lsn, then the number of the block.
///
/// So a block of another directory, of an older snapshot in the same place, or of another place in
/// the same file never verifies, whatever its content.
struct SnapshotSeed {
    private let file: UInt32

    init(_ header: SnapshotHeader) {
        // SAFETY: an integer's own bytes, borrowed for the call.
        self.file = withUnsafeBytes(of: header.position.lsn.littleEndian) {
            crc32c($0, continuing: header.directoryID.seed)
        }
    }

    /// What checksums of a block, header and payload, begin with.
    func block(_ number: UInt64) -> UInt32 {
        withUnsafeBytes(of: number.littleEndian) { crc32c($0, continuing: self.file) }
    }
}

/// The payload of the footer, 16 bytes: `blocks: UInt64 | payloadBytes: UInt64`, little-endian.
///
/// What chains it to all blocks is the `previousHeaderCRC` of its block header.
struct SnapshotFooter: Equatable {
    static let bytes = 16

    /// Blocks of items.
    var blocks: UInt64
    /// Of all blocks of items, padding aside.
    var payloadBytes: UInt64

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.blocks)
        buffer.append(self.payloadBytes)
    }

    static func read(_ bytes: UnsafeRawBufferPointer) -> SnapshotFooter? {
        guard bytes.count == Self.bytes else { return nil }
        var reader = ByteReader(bytes)
        return SnapshotFooter(blocks: reader.read(), payloadBytes: reader.read())
    }
}
