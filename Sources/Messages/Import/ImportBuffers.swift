import Bytes

/// Storage of chunks that are done, for the next ones of the same loop: blocks of this size come
/// from the system page by page, which costs as much as half of the packing.
package final class ImportBuffers {
    /// A larger block goes back, in bytes. A loop keeps two.
    private static let keptBytesMax = 2 << 20

    private var message: ByteBuffer?
    private var payload: ByteBuffer?

    package init() {}

    /// Gives everything back: no import is open.
    package func removeAll() {
        self.message = nil
        self.payload = nil
    }

    func takeMessage(bytes: Int) -> ByteBuffer {
        Self.prepared(self.message.take(), bytes)
    }

    func takePayload(bytes: Int) -> ByteBuffer {
        Self.prepared(self.payload.take(), bytes)
    }

    func give(message: consuming ByteBuffer) {
        if message.capacity <= Self.keptBytesMax { self.message = consume message }
    }

    func give(payload: consuming ByteBuffer) {
        if payload.capacity <= Self.keptBytesMax { self.payload = consume payload }
    }

    /// One that is too small would grow to twice its size, and then be too large to be kept.
    private static func prepared(_ kept: consuming ByteBuffer?, _ bytes: Int) -> ByteBuffer {
        guard var buffer = kept, buffer.capacity >= bytes else {
            return ByteBuffer(capacity: bytes)
        }
        buffer.removeAll()
        return buffer
    }
}
