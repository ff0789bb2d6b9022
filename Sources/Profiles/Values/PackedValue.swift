import Bytes

// How one value of an attribute or event field is packed, in the log and in the store.
// Written straight from the decoded message by the codec, so that a Track allocates nothing on its
// way into the log.

/// The first byte of a packed value; the raw values stand in the log and may never change.
///
/// Layout after the tag:
/// - `string`, `url`: prefixed UTF-8 (varint length, bytes)
/// - `integer`: zigzag varint
/// - `number`: 8 bytes IEEE 754
/// - `time`: Int64 microseconds since 1970
/// - `list`: varint count, prefixed UTF-8 each
/// - `object`: a field list (below)
/// - `objects`: varint count, a field list each
/// - `no`, `yes`: nothing
///
/// A field list is: varint count, then per field prefixed name (lower case) and packed value, in
/// ascending byte order of the names.
package enum PackedTag: UInt8, Sendable {
    case string = 1
    case integer = 2
    case number = 3
    case no = 4
    case yes = 5
    case time = 6
    case url = 7
    case list = 8
    case object = 9
    case objects = 10
}

extension ByteBuffer {
    /// Appends a packed string or URL.
    package mutating func appendPacked(text: UnsafeRawBufferPointer, isURL: Bool) {
        self.append(isURL ? PackedTag.url.rawValue : PackedTag.string.rawValue)
        self.appendPrefixed(text)
    }

    /// Appends a packed integer.
    package mutating func appendPacked(integer: Int64) {
        self.append(PackedTag.integer.rawValue)
        self.appendVarint(UInt64(bitPattern: (integer << 1) ^ (integer >> 63)))
    }

    /// Appends a packed finite number.
    package mutating func appendPacked(number: Double) {
        self.append(PackedTag.number.rawValue)
        self.append(number.bitPattern)
    }

    /// Appends a packed boolean.
    package mutating func appendPacked(boolean: Bool) {
        self.append(boolean ? PackedTag.yes.rawValue : PackedTag.no.rawValue)
    }

    /// Appends a packed time, in microseconds since 1970.
    package mutating func appendPacked(timeMicroseconds: Int64) {
        self.append(PackedTag.time.rawValue)
        self.append(timeMicroseconds)
    }
}

/// Walking over packed values.
package enum PackedValue {
    /// Objects inside objects that a value may have here; the contract allows three, this bounds
    /// the recursion.
    private static let depthMax = 16

    /// Moves past one packed value; false if it is malformed.
    package static func skip(_ reader: inout ByteReader, depth: Int) -> Bool {
        guard depth <= Self.depthMax, let tag = PackedTag(rawValue: reader.read()) else {
            return false
        }
        switch tag {
        case .string, .url: _ = reader.readPrefixed()
        case .integer: _ = reader.readVarint()
        case .number, .time: _ = reader.read(UInt64.self)
        case .no, .yes: break
        case .list:
            var count = reader.readVarint()
            while count > 0, !reader.overrun {
                _ = reader.readPrefixed()
                count -= 1
            }
        case .object: return Self.skipFields(&reader, depth: depth + 1)
        case .objects:
            var count = reader.readVarint()
            while count > 0 {
                guard Self.skipFields(&reader, depth: depth + 1) else { return false }
                count -= 1
            }
        }
        return !reader.overrun
    }

    private static func skipFields(_ reader: inout ByteReader, depth: Int) -> Bool {
        var count = reader.readVarint()
        while count > 0 {
            _ = reader.readPrefixed()
            guard Self.skip(&reader, depth: depth) else { return false }
            count -= 1
        }
        return !reader.overrun
    }
}
