import Bytes

/// Where a watcher is: the next change that it has not considered.
struct WatchPosition: Equatable, Comparable, Sendable {
    var lsn: UInt64
    /// Of the change among those of its lsn, from 0.
    var ordinal: UInt32 = 0

    static func < (one: WatchPosition, other: WatchPosition) -> Bool {
        one.lsn != other.lsn ? one.lsn < other.lsn : one.ordinal < other.ordinal
    }
}

/// Encoded messages of one watcher, handed from the worker to the loop.
///
/// Layout, for each message: `bytes UInt32 | ordinal UInt32 | lsn UInt64 | message`. The position
/// is that of its change, or that behind everything a heartbeat tells of.
// SAFETY: one side has it at a time; it changes hands under the lock of its watcher.
final class WatchBatch: @unchecked Sendable {
    private static let headerBytes = 4 + 4 + 8

    private var buffer = ByteBuffer(capacity: 1 << 10)
    private var readOffset = 0
    /// Of the store when the first message was encoded: people erased later may be in it.
    var erasures: UInt64 = 0

    var count: Int { self.buffer.count }
    var isEmpty: Bool { self.readOffset == self.buffer.count }

    /// Appends the message that `body` encodes.
    func append(at position: WatchPosition, _ body: (inout ByteBuffer) -> Void) {
        let start = self.buffer.count
        self.buffer.append(UInt32(0))
        self.buffer.append(position.ordinal)
        self.buffer.append(position.lsn)
        body(&self.buffer)
        let bytes = UInt32(self.buffer.count - start - Self.headerBytes)
        self.buffer.mutableBytes.storeBytes(of: bytes, toByteOffset: start, as: UInt32.self)
    }

    /// The position of the next message.
    var position: WatchPosition {
        precondition(!self.isEmpty, "there is a message")
        let bytes = self.buffer.bytes
        return WatchPosition(
            lsn: bytes.loadUnaligned(fromByteOffset: self.readOffset + 8, as: UInt64.self),
            ordinal: bytes.loadUnaligned(fromByteOffset: self.readOffset + 4, as: UInt32.self))
    }

    /// Takes the next message; valid until the batch is changed.
    func next() -> UnsafeRawBufferPointer {
        precondition(!self.isEmpty, "there is a message")
        let start = self.readOffset + Self.headerBytes
        let count = self.buffer.bytes.loadUnaligned(
            fromByteOffset: self.readOffset, as: UInt32.self)
        self.readOffset = start + Int(count)
        return UnsafeRawBufferPointer(rebasing: self.buffer.bytes[start ..< self.readOffset])
    }

    /// Empties it for the next use; storage beyond `bytes` is given back.
    func reset(keepingCapacity bytes: Int) {
        self.buffer.removeAll()
        self.buffer.shrink(toCapacity: bytes)
        self.readOffset = 0
        self.erasures = 0
    }
}
