/// Base64 (RFC 4648, section 4), as used by gRPC's binary metadata and proto3 JSON.
package enum Base64Text {
    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        var rest = ArraySlice(Array(bytes))
        while !rest.isEmpty {
            let group = rest.prefix(3)
            let joined =
                group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * (3 - UInt32(group.count)))
            for index in 0 ..< 4 {
                text.append(
                    index <= group.count
                        ? self.digits[Int(joined >> (18 - 6 * UInt32(index)) & 63)]
                        : UInt8(ascii: "="))
            }
            rest = rest.dropFirst(3)
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Accepts text with or without padding, in either alphabet.
    package static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var joined: UInt32 = 0
        var bits = 0
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            let plain =
                byte == UInt8(ascii: "-")
                ? UInt8(ascii: "+") : byte == UInt8(ascii: "_") ? UInt8(ascii: "/") : byte
            guard let digit = self.digits.firstIndex(of: plain) else { return nil }
            joined = joined << 6 | UInt32(digit)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: joined >> UInt32(bits)))
            }
        }
        return bits < 6 ? bytes : nil
    }
}
