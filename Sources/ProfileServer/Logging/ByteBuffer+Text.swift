import Bytes

extension ByteBuffer {
    /// Appends the UTF-8 bytes of a text.
    mutating func append(text: String) {
        var text = text
        // SAFETY: the bytes are copied within the closure.
        text.withUTF8 { self.append(UnsafeRawBufferPointer($0)) }
    }
}
