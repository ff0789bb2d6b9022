/// Base64 of `-bin` metadata, emitted without padding (G17).
enum Base64 {
    static func encodeUnpadded(_ bytes: [UInt8]) -> [UInt8] {
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var encoded: [UInt8] = []
        encoded.reserveCapacity((bytes.count * 4 + 2) / 3)
        var index = 0
        while index < bytes.count {
            let rest = min(3, bytes.count - index)
            var group: UInt32 = 0
            for offset in 0 ..< 3 {
                group = group << 8 | (offset < rest ? UInt32(bytes[index + offset]) : 0)
            }
            for digit in 0 ... rest {
                encoded.append(alphabet[Int(group >> UInt32(18 - 6 * digit)) & 63])
            }
            index += 3
        }
        return encoded
    }
}
