import Bytes

@testable import GRPCTransport

/// What a peer sends inside of HTTP/2.
enum TransportFuzz {
    private static let messageBytesMax = 1 << 10

    /// The first byte says where the input is cut: a cut never changes the messages.
    static func framing(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let body = UnsafeRawBufferPointer(rebasing: bytes[1...])
        let cut = min(Int(first), body.count)
        let whole = self.messages([body])
        let parts = self.messages([
            UnsafeRawBufferPointer(rebasing: body[..<cut]),
            UnsafeRawBufferPointer(rebasing: body[cut...]),
        ])
        precondition(whole == parts, "a cut changes the messages")
    }

    private static func messages(_ parts: [UnsafeRawBufferPointer]) -> [[UInt8]] {
        var deframer = MessageDeframer()
        var message = ByteBuffer()
        var found: [[UInt8]] = []
        for part in parts {
            var rest = part
            reading: while true {
                switch deframer.next(
                    &rest, into: &message, messageBytesMax: self.messageBytesMax)
                {
                case .message:
                    found.append(Array(message.bytes))
                    message.removeAll()
                case .needsMore: break reading
                case .tooLarge, .compressed, .invalidFlag: return found + [[0xFF]]
                }
            }
        }
        return found
    }

    /// Values of headers.
    static func metadata(_ bytes: UnsafeRawBufferPointer) {
        _ = GRPCTimeout.nanoseconds(bytes)
        _ = PercentEncoding.encode(String(decoding: bytes, as: UTF8.self))
        _ = Base64.encodeUnpadded(Array(bytes))
    }
}
