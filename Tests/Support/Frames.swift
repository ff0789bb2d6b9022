/// HTTP/2 frames by hand, as far as a client of the tests needs them.
package enum Frames {
    package static let data: UInt8 = 0
    package static let headers: UInt8 = 1
    package static let reset: UInt8 = 3
    package static let ping: UInt8 = 6
    package static let goaway: UInt8 = 7
    package static let windowUpdate: UInt8 = 8

    package struct Frame {
        package var kind: UInt8
        package var flags: UInt8
        package var stream: UInt32
        package var payload: [UInt8]
    }

    package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, [])

    package static let settingsAck = frame(4, 1, 0, [])

    package static func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8])
        -> [UInt8]
    {
        let length = UInt32(payload.count)
        return [
            UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8),
            UInt8(truncatingIfNeeded: length), kind, flags,
        ]
            + self.bytes(stream) + payload
    }

    /// Headers of a call, each field a literal that is not indexed.
    ///
    /// - Parameter fields: Behind those that every call has.
    package static func open(
        _ stream: UInt32, _ path: String, timeout: String? = nil, fields: [(String, String)] = []
    ) -> [UInt8] {
        var all = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "t"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        if let timeout { all.append(("grpc-timeout", timeout)) }
        var block: [UInt8] = []
        for (name, value) in all + fields {
            block +=
                [0, UInt8(name.utf8.count)] + Array(name.utf8) + self.length(value.utf8.count)
                + Array(value.utf8)
        }
        return self.frame(self.headers, 4, stream, block)
    }

    /// The length of a literal, as HPACK writes it.
    private static func length(_ count: Int) -> [UInt8] {
        guard count >= 127 else { return [UInt8(count)] }
        var bytes: [UInt8] = [127]
        var rest = count - 127
        while rest >= 128 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    package static func message(_ payload: [UInt8]) -> [UInt8] {
        [0] + self.bytes(UInt32(payload.count)) + payload
    }

    /// The bytes as DATA frames of at most 16,000 bytes.
    package static func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool = false) -> [UInt8] {
        var frames: [UInt8] = []
        var rest = bytes[...]
        repeat {
            let part = rest.prefix(16_000)
            rest = rest.dropFirst(16_000)
            frames += self.frame(self.data, end && rest.isEmpty ? 1 : 0, stream, Array(part))
        } while !rest.isEmpty
        return frames
    }

    package static func openWindow(_ stream: UInt32, by count: UInt32) -> [UInt8] {
        self.frame(self.windowUpdate, 0, stream, self.bytes(count))
    }

    package static func parse(_ output: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var rest = output[...]
        while rest.count >= 9 {
            let head = Array(rest.prefix(9))
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            let stream =
                UInt32(head[5]) << 24 | UInt32(head[6]) << 16 | UInt32(head[7]) << 8
                | UInt32(head[8])
            frames.append(
                Frame(
                    kind: head[3], flags: head[4], stream: stream,
                    payload: Array(rest.dropFirst(9).prefix(length))))
            rest = rest.dropFirst(9 + length)
        }
        return frames
    }

    /// The first four bytes, big-endian.
    package static func number(_ bytes: [UInt8]) -> UInt32 {
        bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    package static func bytes(_ value: UInt32) -> [UInt8] {
        [
            UInt8(truncatingIfNeeded: value >> 24), UInt8(truncatingIfNeeded: value >> 16),
            UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value),
        ]
    }
}
