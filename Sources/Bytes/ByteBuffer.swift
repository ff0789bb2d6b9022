// The growable buffer of the service: commands, results, frames and responses are built in it.
// It keeps its storage between uses, so that the steady state of a loop allocates nothing.
// Public, because `@inlinable package` is not inlined across a module boundary
// (docs/decisions/0207-public-in-bytes.md).

/// A growable, owned byte buffer with appending writes; integers are little-endian.
///
/// - Complexity: Appending is amortised O(bytes); `removeAll` keeps the storage.
public struct ByteBuffer: ~Copyable {
    // SAFETY: allocated in `init`, replaced in `reallocate`, freed in `deinit`; the buffer is not
    // copyable, so there is one owner. `count <= capacity`, and every write reserves its bytes
    // first.
    public var base: UnsafeMutableRawPointer
    /// Bytes written.
    public var count: Int
    /// Bytes of storage.
    public var capacity: Int

    /// Creates an empty buffer with storage for `capacity` bytes (at least 64).
    @inlinable public init(capacity: Int = 64) {
        self.capacity = max(capacity, 64)
        self.base = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 16)
        self.count = 0
    }

    deinit {
        self.base.deallocate()
    }

    /// The bytes written; valid until the buffer is changed or destroyed.
    @inlinable public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.base, count: self.count)
    }

    /// The bytes written, for changes in place.
    @inlinable public var mutableBytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: self.base, count: self.count)
    }

    /// Discards the content and keeps the storage.
    @inlinable public mutating func removeAll() {
        self.count = 0
    }

    /// Discards everything after the first `count` bytes.
    @inlinable public mutating func truncate(to count: Int) {
        precondition(count <= self.count && count >= 0, "truncate may only shorten")
        self.count = count
    }

    /// Releases storage beyond `capacity` if the content fits; for buffers that one large message
    /// inflated.
    @inlinable public mutating func shrink(toCapacity wanted: Int) {
        guard self.capacity > wanted, self.count <= wanted else { return }
        self.reallocate(capacity: max(wanted, 64))
    }

    /// Reserves storage for `additional` more bytes.
    @inlinable @inline(__always)
    public mutating func reserve(_ additional: Int) {
        guard self.count + additional > self.capacity else { return }
        self.reallocate(capacity: max(self.capacity * 2, self.count + additional))
    }

    @usableFromInline mutating func reallocate(capacity: Int) {
        let moved = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        moved.copyMemory(from: self.base, byteCount: self.count)
        self.base.deallocate()
        self.base = moved
        self.capacity = capacity
    }

    /// Appends one integer, little-endian, unaligned.
    @inlinable @inline(__always)
    public mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        self.reserve(MemoryLayout<Integer>.size)
        (self.base + self.count).storeBytes(of: value.littleEndian, as: Integer.self)
        self.count += MemoryLayout<Integer>.size
    }

    /// Appends a copy of `bytes`.
    @inlinable public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        self.reserve(bytes.count)
        (self.base + self.count).copyMemory(from: source, byteCount: bytes.count)
        self.count += bytes.count
    }

    /// Appends the UTF-8 of a literal.
    @inlinable public mutating func append(_ literal: StaticString) {
        self.append(
            UnsafeRawBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Appends `count` uninitialised bytes and returns them for the caller to fill; valid until the
    /// next change.
    @inlinable @inline(__always)
    public mutating func appendUninitialized(_ count: Int) -> UnsafeMutableRawBufferPointer {
        self.reserve(count)
        defer { self.count += count }
        return UnsafeMutableRawBufferPointer(start: self.base + self.count, count: count)
    }

    /// Appends zeros until `count` is a multiple of `alignment`.
    @inlinable public mutating func pad(to alignment: Int) {
        let missing = (alignment - self.count % alignment) % alignment
        guard missing > 0 else { return }
        self.appendUninitialized(missing).initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Appends an unsigned LEB128 integer, 1...10 bytes.
    @inlinable @inline(__always)
    public mutating func appendVarint(_ value: UInt64) {
        // Nearly all lengths and counts are one byte.
        guard value >= 0x80 else { return self.append(UInt8(truncatingIfNeeded: value)) }
        self.appendLongVarint(value)
    }

    @usableFromInline mutating func appendLongVarint(_ value: UInt64) {
        var rest = value
        self.reserve(10)
        while rest >= 0x80 {
            (self.base + self.count).storeBytes(
                of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
            self.count += 1
            rest >>= 7
        }
        (self.base + self.count).storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        self.count += 1
    }

    /// Appends a varint length and the bytes.
    @inlinable public mutating func appendPrefixed(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count < 0x80, let source = bytes.baseAddress else {
            self.appendVarint(UInt64(bytes.count))
            return self.append(bytes)
        }
        self.reserve(bytes.count &+ 1)
        let target = self.base + self.count
        target.storeBytes(of: UInt8(truncatingIfNeeded: bytes.count), as: UInt8.self)
        (target + 1).copyMemory(from: source, byteCount: bytes.count)
        self.count &+= bytes.count &+ 1
    }

    /// Overwrites an integer written earlier at `offset`.
    @inlinable public mutating func patch<Integer: FixedWidthInteger>(
        _ value: Integer, at offset: Int
    ) {
        precondition(
            offset >= 0 && offset + MemoryLayout<Integer>.size <= self.count, "patch out of bounds")
        (self.base + offset).storeBytes(of: value.littleEndian, as: Integer.self)
    }
}

// SAFETY: the bytes are plain memory with one owner, valid until `deinit`; moving the owner to
// another thread moves the memory.
extension ByteBuffer: @unchecked Sendable {}
