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

    /// A header list, each field as `name: prefixed | value: prefixed`. In which order fields are
    /// repeated decides nothing.
    static func heads(_ bytes: UnsafeRawBufferPointer) {
        var fields: [(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)] = []
        var reader = ByteReader(bytes)
        while reader.remaining > 0 {
            let field = (reader.readPrefixed(), reader.readPrefixed())
            guard !reader.overrun else { break }
            fields.append(field)
        }
        let methods = MethodTable([
            RPCMethodDescriptor(path: "/profiles.v1.Profiles/Track"),
            RPCMethodDescriptor(path: "/profiles.v1.Profiles/GetProfile"),
        ])
        var one = RequestHead()
        var other = RequestHead()
        for field in fields {
            one.add(name: field.name, value: field.value, methods: methods)
        }
        for field in fields.reversed() {
            other.add(name: field.name, value: field.value, methods: methods)
        }
        precondition(
            one.contentType == other.contentType && one.encoding == other.encoding
                && one.timeoutNanoseconds == other.timeoutNanoseconds
                && one.hasInvalidTimeout == other.hasInvalidTimeout
                && one.authorization.bytes.elementsEqual(other.authorization.bytes),
            "the order of fields decides")
        one.reset()
        precondition(
            one.contentType == .absent && one.method == nil && one.authorization.count == 0
                && one.timeoutNanoseconds == nil && !one.hasConflictingHost,
            "a head that is used again remembers the last request")
    }

    /// The first byte says how long the pieces are that the frames come in: it never changes what
    /// the gate says.
    static func frames(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let frames = UnsafeRawBufferPointer(rebasing: bytes[1...])
        let whole = self.verdict(frames, pieceBytes: max(1, frames.count))
        let parts = self.verdict(frames, pieceBytes: 1 + Int(first))
        precondition(whole == parts, "a cut changes the verdict")
    }

    /// - Returns: The code of the connection error; `nil`: nghttp2 gets all of it.
    private static func verdict(_ bytes: UnsafeRawBufferPointer, pieceBytes: Int) -> UInt32? {
        var gate = FrameGate(limits: TransportLimits(), nowNanoseconds: 0)
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            let piece = UnsafeRawBufferPointer(
                rebasing: bytes[start ..< min(start + pieceBytes, bytes.count)])
            if case .reject(let offset, let code) = gate.inspect(
                piece, openStreams: 0, nowNanoseconds: 0)
            {
                precondition(offset <= piece.count, "the error is within the bytes")
                return code.rawValue
            }
        }
        return nil
    }

    /// Values of headers.
    static func metadata(_ bytes: UnsafeRawBufferPointer) {
        _ = GRPCTimeout.nanoseconds(bytes)
        _ = PercentEncoding.encode(String(decoding: bytes, as: UTF8.self))
        _ = Base64.encodeUnpadded(Array(bytes))
    }
}
