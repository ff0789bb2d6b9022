import Bytes

// Comparing and copying of borrowed bytes; no C library in this module.

extension UnsafeRawBufferPointer {
    /// No bytes.
    static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// A little-endian integer at `offset`; the bytes must hold it.
    @inline(__always)
    func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, _ type: Integer.Type = Integer.self
    ) -> Integer {
        Integer(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }

    /// Whether both are the same bytes.
    @inline(__always)
    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        guard self.count == other.count else { return false }
        guard let left = self.baseAddress, let right = other.baseAddress else { return true }
        // SAFETY: every load ends at or before `count`, the length of both.
        var offset = 0
        while offset + 8 <= self.count {
            let one = left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let two = right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard one == two else { return false }
            offset += 8
        }
        while offset < self.count {
            let one = left.load(fromByteOffset: offset, as: UInt8.self)
            let two = right.load(fromByteOffset: offset, as: UInt8.self)
            guard one == two else { return false }
            offset += 1
        }
        return true
    }
}

/// Writes fields one after the other into memory that is known to be large enough.
struct RawWriter {
    // SAFETY: the maker provides as many bytes as are written; the sizes are computed beside
    // the writes.
    private var target: UnsafeMutableRawPointer

    init(_ target: UnsafeMutableRawPointer) {
        self.target = target
    }

    @inline(__always)
    mutating func write<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        self.target.storeBytes(of: value.littleEndian, as: Integer.self)
        self.target += MemoryLayout<Integer>.size
    }

    @inline(__always)
    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        self.target.copyMemory(from: source, byteCount: bytes.count)
        self.target += bytes.count
    }

    /// Writes the 32 bytes of a digest.
    @inline(__always)
    mutating func write(_ digest: SHA256Digest) {
        self.write(digest.words.0.bigEndian)
        self.write(digest.words.1.bigEndian)
        self.write(digest.words.2.bigEndian)
        self.write(digest.words.3.bigEndian)
    }

    @inline(__always)
    mutating func writePrefixed(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes.count
        while rest >= 0x80 {
            self.write(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.write(UInt8(truncatingIfNeeded: rest))
        self.write(bytes)
    }

    /// Bytes that `writePrefixed` of `count` bytes takes.
    @inline(__always)
    static func prefixedBytes(_ count: Int) -> Int {
        var (rest, prefix) = (count >> 7, 1)
        while rest > 0 {
            rest >>= 7
            prefix += 1
        }
        return prefix + count
    }
}

extension UnsafeRawBufferPointer {
    /// Ascending order of bytes; a prefix sorts first.
    func isOrderedBefore(_ other: UnsafeRawBufferPointer) -> Bool {
        for index in 0 ..< Swift.min(self.count, other.count) where self[index] != other[index] {
            return self[index] < other[index]
        }
        return self.count < other.count
    }
}
