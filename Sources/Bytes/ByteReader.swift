// The reading side of ByteBuffer. It never traps on short input: the first read past the end sets
// `overrun`, and every later read returns zero or empty, so that a parser checks once, at its end.
// Public, because `@inlinable package` is not inlined across a module boundary
// (docs/decisions/0207-public-in-bytes.md).

/// A cursor over borrowed bytes; integers are little-endian and unaligned.
public struct ByteReader {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    /// Offset of the next byte to read.
    public var offset: Int
    /// True after a read past the end or of a malformed varint.
    public var overrun = false

    /// Reads `bytes` from their beginning; they must outlive the reader.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        self.offset = 0
    }

    /// Bytes not yet read.
    @inlinable public var remaining: Int { self.bytes.count - self.offset }

    /// Whether all bytes were read and none was missing.
    @inlinable public var isAtCleanEnd: Bool { !self.overrun && self.remaining == 0 }

    /// Reads one integer; 0 past the end.
    @inlinable @inline(__always)
    public mutating func read<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self)
        -> Integer
    {
        let size = MemoryLayout<Integer>.size
        guard size <= self.remaining else {
            self.fail()
            return 0
        }
        defer { self.offset += size }
        // SAFETY: the guard above proves that `size` bytes follow `offset`; the bytes are borrowed
        // from the caller for the life of the reader.
        return Integer(
            littleEndian: self.bytes.loadUnaligned(fromByteOffset: self.offset, as: Integer.self))
    }

    /// Reads `count` bytes in place; empty past the end.
    @inlinable @inline(__always)
    public mutating func read(count: Int) -> UnsafeRawBufferPointer {
        guard count >= 0 && count <= self.remaining else {
            self.fail()
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        defer { self.offset += count }
        return UnsafeRawBufferPointer(rebasing: self.bytes[self.offset ..< self.offset + count])
    }

    /// Reads an unsigned LEB128 integer of at most 10 bytes; 0 past the end.
    @inlinable @inline(__always)
    public mutating func readVarint() -> UInt64 {
        // Nearly all lengths and counts are one byte.
        if self.offset < self.bytes.count, self.bytes[self.offset] < 0x80 {
            self.offset += 1
            return UInt64(self.bytes[self.offset - 1])
        }
        return self.readLongVarint()
    }

    @usableFromInline mutating func readLongVarint() -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            let byte = self.read(UInt8.self)
            // The tenth byte has space for one bit only. Dropping its other bits would give one
            // number two encodings.
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        self.fail()
        return 0
    }

    /// Reads a varint length and that many bytes in place.
    @inlinable @inline(__always)
    public mutating func readPrefixed() -> UnsafeRawBufferPointer {
        let left = self.bytes.count &- self.offset
        if left > 0, case let length = Int(self.bytes[self.offset]), length < 0x80, length < left {
            let start = self.offset &+ 1
            self.offset = start &+ length
            return UnsafeRawBufferPointer(rebasing: self.bytes[start ..< self.offset])
        }
        return self.readLongPrefixed()
    }

    @usableFromInline mutating func readLongPrefixed() -> UnsafeRawBufferPointer {
        self.read(count: Int(clamping: self.readVarint()))
    }

    @usableFromInline mutating func fail() {
        self.overrun = true
        self.offset = self.bytes.count
    }
}
