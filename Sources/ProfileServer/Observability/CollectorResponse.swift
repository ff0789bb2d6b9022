/// What a collector said of a request, as far as it matters.
struct CollectorResponse: Equatable {
    /// Of HTTP; 0: what came is not a response.
    let status: Int
    /// Spans that it took the request without.
    let rejectedSpans: UInt64

    /// Longest response that is read, in bytes.
    static let bytesMax = 64 << 10

    /// Whether the same request may succeed later.
    ///
    /// - Source: OpenTelemetry Protocol 1.3, "Failures: retryable response codes".
    var isTemporary: Bool { [429, 502, 503, 504].contains(self.status) }
    var isAccepted: Bool { (200 ..< 300).contains(self.status) }

    init(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let words = text.prefix { $0 != "\r\n" && $0 != "\n" }.split(separator: " ")
        self.status =
            words.count >= 2 && words[0].hasPrefix("HTTP/1.") ? Int(words[1]) ?? 0 : 0
        self.rejectedSpans = Self.rejectedSpans(in: text)
    }

    /// The number of `partialSuccess.rejectedSpans`, which is a string or a number in JSON.
    private static func rejectedSpans(in text: String) -> UInt64 {
        guard let name = text.firstRange(of: "\"rejectedSpans\"") else { return 0 }
        let digits = text[name.upperBound...].drop { !$0.isASCII || ": \"\t".contains($0) }
            .prefix { $0 >= "0" && $0 <= "9" }
        return UInt64(digits) ?? 0
    }

    /// Whether a response is whole: its head, and as much of a body as that announces. Without a
    /// length it ends with the connection.
    static func isWhole(_ bytes: [UInt8]) -> Bool {
        let end = Array("\r\n\r\n".utf8)
        guard let head = bytes.firstRange(of: end) else { return false }
        let lines = String(decoding: bytes[..<head.lowerBound], as: UTF8.self).lowercased()
            .split(separator: "\r\n")
        for line in lines where line.hasPrefix("content-length:") {
            let value = line.dropFirst("content-length:".count).filter { $0 != " " }
            guard let count = Int(value), count >= 0 else { return true }
            return bytes.count - head.upperBound >= count
        }
        return false
    }
}
