import Testing

@testable import IOTLS

/// C11, S1: what is not the beginning of TLS, or announces more than a hello, never reaches
/// OpenSSL.
@Suite struct ClientHelloCheckTests {
    /// The first nine bytes of a hello of 512 bytes.
    private static let start: [UInt8] = [22, 3, 1, 2, 4, 1, 0, 2, 0]

    private func verdict(on pieces: [[UInt8]]) -> ClientHelloCheck.Verdict {
        var check = ClientHelloCheck()
        for piece in pieces { piece.withUnsafeBytes { check.examine($0) } }
        return check.verdict
    }

    @Test(arguments: 0 ... 9)
    func helloIsRecognisedForAnyCut(cut: Int) {
        let pieces = [Array(Self.start[..<cut]), Array(Self.start[cut...]) + [3, 3, 7]]
        #expect(self.verdict(on: pieces) == .isClientHello)
        #expect(self.verdict(on: pieces.dropLast()) == (cut < 9 ? .needsMore : .isClientHello))
    }

    @Test(arguments: [
        (Array("PRI * HTTP/2.0\r\n".utf8), ClientHelloCheck.Verdict.isNotTLS),
        (Array("G".utf8), .isNotTLS),
        // Version 2 of SSL, an alert, a ServerHello, a record without a whole header.
        ([22, 2], .isNotTLS), ([21], .isNotTLS), ([22, 3, 1, 2, 4, 2], .isNotTLS),
        ([22, 3, 1, 0, 3], .isNotTLS),
        // 128 KiB, and one byte more than a record has.
        ([22, 3, 1, 64, 0, 1, 2, 0, 0], .isTooLarge),
        ([22, 3, 1, 64, 0, 1, 0, 63, 253], .isTooLarge),
        ([22, 3, 1, 64, 0, 1, 0, 63, 252], .isClientHello),
    ])
    func firstBytesDecide(bytes: [UInt8], expected: ClientHelloCheck.Verdict) {
        #expect(self.verdict(on: [bytes]) == expected)
        #expect(self.verdict(on: bytes.map { [$0] }) == expected)
    }
}
