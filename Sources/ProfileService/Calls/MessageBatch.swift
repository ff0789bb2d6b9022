import Bytes
import Profiles

/// Encoded messages of one response stream about people, handed from its worker to its loop.
///
/// Layout, for each message: `bytes UInt32 | hasProfile UInt32 | profile id, 16 bytes | message`.
// SAFETY: one side has it at a time; it changes hands under the lock of its call.
final class MessageBatch: @unchecked Sendable {
    /// One message, borrowed until the batch is changed.
    struct Message {
        /// Whom it is about; `nil`: nobody, or an erasure.
        var profileID: ProfileID?
        var bytes: UnsafeRawBufferPointer
    }

    private static let headerBytes = 4 + 4 + ProfileID.binaryBytes

    private var buffer = ByteBuffer(capacity: 1 << 10)
    private var readOffset = 0
    /// The lsn of the last erasure before what is in it was read: people erased later may be in it.
    var erasure: UInt64 = 0

    /// Of all messages with their headers, in bytes.
    var count: Int { self.buffer.count }
    /// Storage, in bytes.
    var capacity: Int { self.buffer.capacity }
    var isEmpty: Bool { self.readOffset == self.buffer.count }

    /// Appends the message that `body` encodes.
    ///
    /// - Returns: False, with nothing appended, if `body` returns false.
    func append(of profileID: ProfileID?, _ body: (inout ByteBuffer) -> Bool) -> Bool {
        let start = self.buffer.count
        self.buffer.append(UInt32(0))
        self.buffer.append(UInt32(profileID == nil ? 0 : 1))
        self.buffer.append(profileID?.high ?? 0)
        self.buffer.append(profileID?.low ?? 0)
        guard body(&self.buffer) else {
            self.buffer.truncate(to: start)
            return false
        }
        self.buffer.patch(UInt32(self.buffer.count - start - Self.headerBytes), at: start)
        return true
    }

    /// The next message.
    ///
    /// - Precondition: The batch is not empty.
    func peek() -> Message {
        var reader = ByteReader(
            UnsafeRawBufferPointer(rebasing: self.buffer.bytes[self.readOffset...]))
        let count = Int(reader.read(UInt32.self))
        let hasProfile = reader.read(UInt32.self) != 0
        let id = ProfileID(high: reader.read(), low: reader.read())
        return Message(profileID: hasProfile ? id : nil, bytes: reader.read(count: count))
    }

    /// Goes on behind the next message.
    func advance() {
        self.readOffset += Self.headerBytes + self.peek().bytes.count
    }

    /// Empties it for the next use; storage beyond `bytes` is given back.
    func reset(keepingCapacity bytes: Int) {
        self.buffer.removeAll()
        self.buffer.shrink(toCapacity: bytes)
        self.readOffset = 0
        self.erasure = 0
    }
}
