import Bytes

/// What every kind of file in a data directory begins with.
///
/// Layout, little-endian: `magic: 8 bytes | version: UInt32 | zero: UInt32 | directoryID: 16 bytes,
/// big-endian`. Every version keeps magic and version where they are: only then can an older
/// release tell a newer file from a damaged one.
struct FilePreamble {
    var version: UInt32
    var directoryID: DirectoryID
    /// What has no meaning yet is zero.
    let isReservedZero: Bool

    init(version: UInt32, directoryID: DirectoryID) {
        self.version = version
        self.directoryID = directoryID
        self.isReservedZero = true
    }

    func write(magic: UInt64, into buffer: inout ByteBuffer) {
        buffer.append(magic)
        buffer.append(self.version)
        buffer.append(UInt32(0))
        buffer.append(self.directoryID.high.bigEndian)
        buffer.append(self.directoryID.low.bigEndian)
    }

    /// Reads 32 bytes, of any version; `nil`: another magic, so another kind of file. The reader's
    /// caller verifies their checksum.
    init?(from reader: inout ByteReader, magic: UInt64) {
        guard reader.read(UInt64.self) == magic else { return nil }
        self.version = reader.read()
        self.isReservedZero = reader.read(UInt32.self) == 0
        self.directoryID = DirectoryID(
            high: UInt64(bigEndian: reader.read()), low: UInt64(bigEndian: reader.read()))
    }

    /// Whether it is of a version, with nothing where nothing may be.
    func isExactly(_ version: UInt32) -> Bool { self.version == version && self.isReservedZero }
}
