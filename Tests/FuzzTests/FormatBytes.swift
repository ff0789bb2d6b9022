import Bytes

@testable import Storage

// What entries need that give damaged bytes the checksums that they should have: fields by the
// offsets of the pages on the formats, which no reader of the product has a part in.
extension UnsafeRawBufferPointer {
    func uint32(at offset: Int) -> UInt32 { self.integer(at: offset) }

    func uint64(at offset: Int) -> UInt64 { self.integer(at: offset) }

    private func integer<Integer: FixedWidthInteger>(at offset: Int) -> Integer {
        var reader = ByteReader(self)
        reader.offset = offset
        return reader.read()
    }

    /// A copy as the beginning of a file: magic, version, and the checksum of what is before it.
    func sealed(magic: UInt64, version: UInt32, crcAt offset: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.append(self)
        buffer.patch(magic, at: 0)
        buffer.patch(UInt64(version), at: 8)
        buffer.patch(buffer.bytes.crc(0 ..< offset), at: offset)
        return buffer
    }

    /// The CRC-32C of a range.
    func crc(_ range: Range<Int>, continuing seed: UInt32 = 0) -> UInt32 {
        crc32c(UnsafeRawBufferPointer(rebasing: self[range]), continuing: seed)
    }
}
