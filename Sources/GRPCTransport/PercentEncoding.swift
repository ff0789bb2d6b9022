/// `grpc-message` on the wire: 0x20-0x24 and 0x26-0x7E stand for themselves, every other byte of
/// the UTF-8 is `%XX`.
///
/// Source: gRPC over HTTP/2, "Status-Message".
enum PercentEncoding {
    /// Longest encoded message in bytes: clients may limit trailers to 8 KiB (G52).
    static let encodedBytesMax = 1_024

    /// Encodes `text`, cut between two scalars at `encodedBytesMax`.
    static func encode(_ text: String) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for scalar in text.unicodeScalars {
            var one: [UInt8] = []
            for byte in UTF8.encode(scalar)! {
                if byte >= 0x20 && byte <= 0x7E && byte != 0x25 {
                    one.append(byte)
                } else {
                    one += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
                }
            }
            guard encoded.count + one.count <= Self.encodedBytesMax else { break }
            encoded += one
        }
        return encoded
    }
}
