import Bytes
import Profiles

// SAFETY: names that are compared are borrowed for the call; every load ends at or before `count`,
// the length of both.

/// The name of a project in place: it never changes, so a key's calls compare it without a lookup,
/// whose time would depend on which projects exist, and a loop remembers the one that it looked up
/// last.
///
/// Compared by words: with single bytes, names of 40 took some 200 instructions a call.
struct ProjectName: BitwiseCopyable {
    /// Longest name, in bytes.
    static let bytesMax = CreateProjectCommand.nameBytesMax

    /// The whole words, little-endian, and what is left.
    private var words = SIMD8<UInt64>()
    /// The last 8 bytes of a name that has as many, the last 4 of a shorter one; they overlap with
    /// `words`.
    private var last: UInt64 = 0
    private(set) var count = 0

    /// No name: equal to none.
    init() {}

    init?(_ name: [UInt8]) {
        guard !name.isEmpty, name.count <= Self.bytesMax else { return nil }
        for (index, byte) in name.enumerated() {
            self.words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        for byte in name.suffix(name.count < 8 ? 4 : 8).reversed() {
            self.last = self.last << 8 | UInt64(byte)
        }
        self.count = name.count
    }

    @inline(__always)
    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        guard other.count == self.count, self.count > 0 else { return false }
        guard self.count >= 8 else { return self.equalsShort(other) }
        var offset = 0
        while offset + 8 <= self.count {
            guard Self.word(other, offset) == self.words[offset / 8] else { return false }
            offset += 8
        }
        return Self.word(other, self.count - 8) == self.last
    }

    /// As above, of names of fewer than 8 bytes.
    @inline(__always)
    private func equalsShort(_ other: UnsafeRawBufferPointer) -> Bool {
        guard self.count < 4 else {
            return Self.half(other, 0) == UInt32(truncatingIfNeeded: self.words[0])
                && Self.half(other, self.count - 4) == UInt32(truncatingIfNeeded: self.last)
        }
        for index in 0 ..< self.count
        where UInt8(truncatingIfNeeded: self.words[0] >> UInt64(index * 8)) != other[index] {
            return false
        }
        return true
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func half(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}
