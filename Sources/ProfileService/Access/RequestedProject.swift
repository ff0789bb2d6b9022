/// The project that a request names, found without decoding it: whether a key may be used for it is
/// decided before anything else of the request is looked at.
///
/// Source: Protos/profiles/v1: `project` is field 1 of every request that names one.
enum RequestedProject {
    /// Tag of field 1 with a length.
    private static let tag: UInt64 = 1 << 3 | 2

    /// The bytes of the last `project`, which is the one that counts; empty if there is none.
    ///
    /// - Parameter message: Untrusted bytes; borrowed, as is the result.
    /// - Returns: `nil` if the fields cannot be told apart; decoding fails then, too.
    /// - Complexity: O(fields at the top level).
    static func find(in message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var found = message[message.startIndex ..< message.startIndex]
        var offset = 0
        while offset < message.count {
            guard let tag = Self.varint(message, &offset) else { return nil }
            switch tag & 7 {
            case 0:
                guard Self.varint(message, &offset) != nil else { return nil }
            case 1: offset += 8
            case 5: offset += 4
            case 2:
                guard let length = Self.varint(message, &offset),
                    length <= UInt64(message.count - offset)
                else { return nil }
                if tag == Self.tag { found = message[offset ..< offset + Int(length)] }
                offset += Int(length)
            default: return nil
            }
        }
        return offset == message.count ? UnsafeRawBufferPointer(rebasing: found) : nil
    }

    /// The first field's bytes, if it is a `project` of fewer than 128 bytes.
    @inline(__always)
    static func first(in message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard message.count >= 2, UInt64(message[0]) == Self.tag, message[1] < 0x80 else {
            return nil
        }
        let end = 2 + Int(message[1])
        guard end <= message.count else { return nil }
        return UnsafeRawBufferPointer(rebasing: message[2 ..< end])
    }

    @inline(__always)
    private static func varint(_ message: UnsafeRawBufferPointer, _ offset: inout Int) -> UInt64? {
        guard offset < message.count else { return nil }
        let first = message[offset]
        offset += 1
        guard first >= 0x80 else { return UInt64(first) }
        return Self.longVarint(message, &offset, first)
    }

    private static func longVarint(
        _ message: UnsafeRawBufferPointer, _ offset: inout Int, _ first: UInt8
    ) -> UInt64? {
        var value = UInt64(first & 0x7F)
        // At most ten bytes; what is beyond 64 bits is dropped, as protobuf parsers do.
        for position in 1 ..< 10 as Range<UInt64> {
            guard offset < message.count else { return nil }
            let byte = message[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << (7 * position)
            guard byte >= 0x80 else { return value }
        }
        return nil
    }
}
