import Bytes

/// Bytes that stay where they are as long as this object lives.
final class PathBytes {
    private var buffer = ByteBuffer(capacity: 256)

    init(_ bytes: [UInt8]) {
        // SAFETY: the array's bytes are copied before the closure returns.
        bytes.withUnsafeBytes { self.buffer.append($0) }
    }

    init(_ bytes: UnsafeRawBufferPointer) {
        self.buffer.append(bytes)
    }

    /// Borrowed from this object.
    var bytes: UnsafeRawBufferPointer { self.buffer.bytes }
}
