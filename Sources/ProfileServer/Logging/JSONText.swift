// Makes untrusted text safe for one line of JSON, a terminal and a log shipper.

import Bytes

/// Writes JSON strings.
package enum JSONText {
    /// Writes `text` between quotes, with everything escaped that could end the line or mislead a
    /// reader.
    ///
    /// Escaped beyond what JSON requires: DEL and the C1 controls (terminals execute them), U+2028
    /// and U+2029 (line ends for some parsers), and the bidirectional controls (they change the
    /// order in which text is displayed).
    ///
    /// - Parameters:
    ///   - bytesMax: Longest part of `text` that is written, in UTF-8 bytes; longer text is
    ///     truncated and ends in `…`.
    /// - Complexity: O(min(bytes, bytesMax)).
    package static func append(_ text: String, bytesMax: Int = .max, to line: inout ByteBuffer) {
        line.append("\"")
        var bytesKept = 0
        for scalar in text.unicodeScalars {
            bytesKept += UTF8.width(scalar)
            guard bytesKept <= bytesMax else {
                line.append("…")
                break
            }
            Self.append(scalar, to: &line)
        }
        line.append("\"")
    }

    /// The same as a `String`.
    package static func quoted(_ text: String, bytesMax: Int = .max) -> String {
        var line = ByteBuffer()
        Self.append(text, bytesMax: bytesMax, to: &line)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    private static func append(_ scalar: Unicode.Scalar, to line: inout ByteBuffer) {
        switch scalar.value {
        case 0x22:
            line.append("\\\"")
        case 0x5C:
            line.append("\\\\")
        case 0x00 ..< 0x20, 0x7F ..< 0xA0, 0x061C, 0x200E ... 0x200F, 0x2028 ... 0x202E,
            0x2066 ... 0x2069:
            Self.appendEscape(UInt16(scalar.value), to: &line)
        default:
            for byte in UTF8.encode(scalar)! { line.append(byte) }
        }
    }

    private static func appendEscape(_ unit: UInt16, to line: inout ByteBuffer) {
        line.append("\\u")
        for shift in [12, 8, 4, 0] {
            let digit = UInt8(truncatingIfNeeded: unit >> UInt16(shift)) & 0x0F
            line.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
