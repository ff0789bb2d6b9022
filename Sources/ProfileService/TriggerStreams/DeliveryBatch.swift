import Bytes
import Profiles

/// Encoded messages of one WatchTriggers call, handed from the worker to the loop.
///
/// Layout, for each message: `bytes UInt32 | hasFiring UInt32 | profile id, 16 bytes | lsn, sendBy
/// UInt64 | message`.
// SAFETY: one side has it at a time; it changes hands under the lock of its consumer.
final class DeliveryBatch: @unchecked Sendable {
    /// One message, borrowed until the batch is changed.
    struct Message {
        /// `nil`: a heartbeat.
        var firing: Firing?
        var bytes: UnsafeRawBufferPointer
    }

    /// What a delivery is of.
    struct Firing: Sendable {
        /// Of the profile.
        var profileID: ProfileID
        /// Of the event.
        var lsn: UInt64
        /// Later than this it is not sent, but looked up anew, in monotonic nanoseconds.
        var sendByNanoseconds: UInt64
    }

    private static let headerBytes = 4 + 4 + ProfileID.binaryBytes + 8 + 8

    private var buffer = ByteBuffer(capacity: 1 << 10)
    private var readOffset = 0
    /// `Store.lastEraseLSN` before the first message was encoded: people erased later may be in it.
    private(set) var erasure: UInt64 = 0

    var count: Int { self.buffer.count }
    var isEmpty: Bool { self.readOffset == self.buffer.count }

    /// Notes what was erased before anything that comes next is looked up.
    func note(erasure: UInt64) {
        if self.buffer.count == 0 { self.erasure = erasure }
    }

    /// Appends the message that `body` encodes.
    func append(of firing: Firing?, _ body: (inout ByteBuffer) -> Void) {
        let start = self.buffer.count
        self.buffer.append(UInt32(0))
        self.buffer.append(UInt32(firing == nil ? 0 : 1))
        self.buffer.append(firing?.profileID.high ?? 0)
        self.buffer.append(firing?.profileID.low ?? 0)
        self.buffer.append(firing?.lsn ?? 0)
        self.buffer.append(firing?.sendByNanoseconds ?? 0)
        body(&self.buffer)
        self.buffer.patch(UInt32(self.buffer.count - start - Self.headerBytes), at: start)
    }

    /// The next message.
    ///
    /// - Precondition: The batch is not empty.
    func peek() -> Message {
        var reader = ByteReader(
            UnsafeRawBufferPointer(rebasing: self.buffer.bytes[self.readOffset...]))
        let count = Int(reader.read(UInt32.self))
        let hasFiring = reader.read(UInt32.self) != 0
        let firing = Firing(
            profileID: ProfileID(high: reader.read(), low: reader.read()), lsn: reader.read(),
            sendByNanoseconds: reader.read())
        return Message(firing: hasFiring ? firing : nil, bytes: reader.read(count: count))
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
