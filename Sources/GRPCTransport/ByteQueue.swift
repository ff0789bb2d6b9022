import Bytes

/// Bytes between a producer that appends and a consumer that takes from the front.
///
/// The storage grows with what waits, never with what has passed: before bytes are appended, those
/// that wait are moved to the front if at least as many were consumed. So each byte is moved at
/// most once on average, and not at all when the consumer takes everything, as it does in nearly
/// all cases.
struct ByteQueue: ~Copyable {
    /// Consumed bytes, then those that wait. May be appended to after `prepareAppend`, and what was
    /// appended patched or removed again.
    var buffer: ByteBuffer
    /// Bytes at the start of `buffer` that were consumed.
    private var consumedBytes = 0

    /// Makes an empty queue with storage for `capacity` bytes.
    init(capacity: Int) {
        self.buffer = ByteBuffer(capacity: capacity)
    }

    /// Bytes that wait.
    var count: Int { self.buffer.count - self.consumedBytes }
    var isEmpty: Bool { self.count == 0 }

    /// What waits; valid until the queue is changed.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.buffer.bytes[self.consumedBytes...])
    }

    /// Uses the storage of consumed bytes again, if that is worth the move.
    ///
    /// - Complexity: Amortised O(1) for each byte that was consumed.
    @inline(__always)
    mutating func prepareAppend() {
        guard self.consumedBytes > 0, self.consumedBytes >= self.count else { return }
        self.moveToFront()
    }

    private mutating func moveToFront() {
        let count = self.count
        // SAFETY: both ranges are inside the buffer and do not overlap: at least as many bytes were
        // consumed as wait.
        self.buffer.base.copyMemory(
            from: self.buffer.base + self.consumedBytes, byteCount: count)
        self.buffer.truncate(to: count)
        self.consumedBytes = 0
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        self.prepareAppend()
        self.buffer.append(bytes)
    }

    /// Storage that an empty queue keeps, in bytes; more than this is left by something unusually
    /// large.
    private static let emptyBytesKept = 128 << 10

    /// Forgets the first `count` bytes.
    mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "only what waits is consumed")
        self.consumedBytes += count
        guard self.consumedBytes == self.buffer.count else { return }
        self.removeAll()
        self.buffer.shrink(toCapacity: Self.emptyBytesKept)
    }

    /// Forgets everything, keeps the storage.
    mutating func removeAll() {
        self.buffer.removeAll()
        self.consumedBytes = 0
    }

    /// Forgets everything, and gives storage beyond `capacity` bytes back.
    mutating func reset(keepingCapacity capacity: Int) {
        self.removeAll()
        self.buffer.shrink(toCapacity: capacity)
    }
}
