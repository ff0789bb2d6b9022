import Bytes

/// Cuts the bytes of a request into messages: a flag byte, a big-endian 32-bit length, the message.
///
/// Frame edges carry no meaning: any cut of the same bytes gives the same messages (G26, G47). A
/// length over the limit is rejected from the prefix alone and nothing is ever allocated by it
/// (G31).
struct MessageDeframer {
    enum Event: Equatable {
        /// All bytes are taken and no message is complete.
        case needsMore
        /// `message` holds one whole message; take it and call `next`.
        case message
        case tooLarge(bytes: Int)
        /// Flag 1: the message is compressed.
        case compressed
        /// A flag other than 0 and 1.
        case invalidFlag(UInt8)
    }

    private static let prefixBytes = 5
    private var prefix: (UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0)
    private var prefixCount = 0
    private var missing = 0

    init() {}

    /// Whether the bytes so far end at the edge of a message.
    var isBetweenMessages: Bool { self.prefixCount == 0 }

    /// Bytes of the message that has begun which have not come yet.
    var missingBytes: Int { self.missing }

    /// Takes bytes from `input`, which is shortened by them, and appends message bytes to
    /// `message`.
    mutating func next(
        _ input: inout UnsafeRawBufferPointer, into message: inout ByteBuffer, messageBytesMax: Int
    ) -> Event {
        if self.prefixCount == 0, input.count >= Self.prefixBytes {
            // A prefix in one piece, which nearly all are.
            let flag = input[0]
            // SAFETY: the caller owns the input for this call; at least five bytes are there, and
            // the load of four begins at the second.
            let length = UInt32(bigEndian: input.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
            input = UnsafeRawBufferPointer(rebasing: input[Self.prefixBytes...])
            self.prefixCount = Self.prefixBytes
            if let end = self.begin(flag: flag, length: length, messageBytesMax) { return end }
        }
        while self.prefixCount < Self.prefixBytes {
            guard let byte = input.first else { return .needsMore }
            input = UnsafeRawBufferPointer(rebasing: input.dropFirst())
            withUnsafeMutableBytes(of: &self.prefix) { $0[self.prefixCount] = byte }
            self.prefixCount += 1
            if self.prefixCount == 1, byte > 1 { return .invalidFlag(byte) }
            guard self.prefixCount == Self.prefixBytes else { continue }
            let length =
                UInt32(self.prefix.1) << 24 | UInt32(self.prefix.2) << 16
                | UInt32(self.prefix.3) << 8 | UInt32(self.prefix.4)
            if let end = self.begin(flag: self.prefix.0, length: length, messageBytesMax) {
                return end
            }
        }
        let taken = min(self.missing, input.count)
        message.append(UnsafeRawBufferPointer(rebasing: input[..<taken]))
        input = UnsafeRawBufferPointer(rebasing: input[taken...])
        self.missing -= taken
        guard self.missing == 0 else { return .needsMore }
        self.prefixCount = 0
        return .message
    }

    /// Begins a message behind its prefix, or says why there is none.
    @inline(__always)
    private mutating func begin(flag: UInt8, length: UInt32, _ messageBytesMax: Int) -> Event? {
        if flag > 1 { return .invalidFlag(flag) }
        guard Int(length) <= messageBytesMax else { return .tooLarge(bytes: Int(length)) }
        if flag == 1 { return .compressed }
        self.missing = Int(length)
        return nil
    }
}
