/// Cuts the bytes of a stream into its messages, and keeps nothing but the beginning of one that
/// has not come as a whole.
struct MessageSplitter {
    private var rest: [UInt8] = []

    /// - Parameters:
    ///   - chunk: What came next.
    ///   - body: Receives each message without its frame; valid during that call only.
    mutating func receive(
        _ chunk: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        guard !self.rest.isEmpty else {
            let used = Self.split(chunk, body)
            return self.rest.append(contentsOf: chunk[used...])
        }
        self.rest.append(contentsOf: chunk)
        let used = self.rest.withUnsafeBytes { Self.split($0, body) }
        self.rest.removeFirst(used)
    }

    /// - Returns: Bytes of whole messages.
    private static func split(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
    ) -> Int {
        var offset = 0
        while bytes.count - offset >= ClientFraming.headerBytes {
            // SAFETY: the four bytes of the length are there.
            let length = Int(
                UInt32(
                    bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)))
            let start = offset + ClientFraming.headerBytes
            guard bytes.count - start >= length else { break }
            body(UnsafeRawBufferPointer(rebasing: bytes[start ..< start + length]))
            offset = start + length
        }
        return offset
    }
}
