import Bytes

/// The first 80 bytes of a snapshot.
///
/// Layout, little-endian:
/// `magic: 8 bytes | version: UInt32 | zero: UInt32 | directoryID: 16 bytes, big-endian |
/// log position: UInt64 | nextLSN: UInt64 | receivedAt: Int64 µs | resultsDigest: UInt64 |
/// log position: UInt32 | rulesVersion: UInt32 | zero: UInt32 | crc:
/// UInt32` over the 76 bytes before. Source: docs/formats/snapshot.md.
struct SnapshotHeader: Equatable {
    static let bytes = 80
    static let version: UInt32 = 1
    /// `PRFLSNP` and a zero.
    static let magic: UInt64 = 0x0050_4E53_4C46_5250

    var directoryID: DirectoryID
    var position: SnapshotPosition

    /// Appends the header; returns its CRC, which the first block carries.
    func write(into buffer: inout ByteBuffer) -> UInt32 {
        let start = buffer.count
        FilePreamble(version: Self.version, directoryID: self.directoryID)
            .write(magic: Self.magic, into: &buffer)
        buffer.append(self.position.log.index)
        buffer.append(self.position.nextLSN)
        buffer.append(self.position.receivedAt)
        buffer.append(self.position.resultsDigest)
        buffer.append(self.position.log.check)
        buffer.append(self.position.rulesVersion)
        buffer.append(UInt32(0))
        let crc = crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...]))
        buffer.append(crc)
        return crc
    }

    /// What reading a header can find.
    enum Reading: Equatable {
        case header(SnapshotHeader, crc: UInt32)
        case newer(version: UInt32)
        case damaged
    }

    /// Every version keeps the checksum where it is, beside what `FilePreamble` says.
    static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard bytes.count >= Self.bytes else { return .damaged }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        var reader = ByteReader(bytes)
        guard let preamble = FilePreamble(from: &reader, magic: Self.magic) else {
            return .damaged
        }
        let (nextFrame, nextLSN): (UInt64, UInt64) = (reader.read(), reader.read())
        let (receivedAt, digest): (Int64, UInt64) = (reader.read(), reader.read())
        let (previousHeaderCRC, rulesVersion): (UInt32, UInt32) = (reader.read(), reader.read())
        let zero = reader.read(UInt32.self)
        let crc = reader.read(UInt32.self)
        guard crc == crc32c(body) else { return .damaged }
        if preamble.version > Self.version { return .newer(version: preamble.version) }
        guard preamble.isExactly(Self.version), zero == 0,
            LogNumber.allowed.contains(nextFrame), LogNumber.allowed.contains(nextLSN)
        else { return .damaged }
        let position = SnapshotPosition(
            lsn: nextLSN - 1, receivedAt: receivedAt, rulesVersion: rulesVersion,
            resultsDigest: digest,
            log: LogPosition(index: nextFrame, check: previousHeaderCRC))
        return .header(
            SnapshotHeader(directoryID: preamble.directoryID, position: position), crc: crc)
    }
}
