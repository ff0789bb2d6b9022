import Testing

@testable import ProfileServer

/// S2: the table of certificates that stand for keys.
@Suite struct CertificateKeyFileTests {
    private func count(_ text: String) throws -> Int {
        try CertificateKeyFile.parse(Array(text.utf8)).count
    }

    private func reason(_ text: String) -> String? {
        do throws(ServerFileFailure) {
            _ = try CertificateKeyFile.parse(Array(text.utf8))
            return nil
        } catch {
            return error.description
        }
    }

    @Test func linesCommentsAndBlanksAreRead() throws {
        #expect(try self.count("") == 0)
        #expect(
            try self.count(
                """
                # comment

                URI:spiffe://a/b pk_0123456789abcdef\r
                \tDNS:a.example   0123456789abcdef\t
                SUBJECT:CN=a b,O=c d pk_aaaaaaaaaaaaaaaa
                EMAIL:a@b.example aaaaaaaaaaaaaaaa
                """) == 4)
    }

    @Test(arguments: [
        ("URI:a", "line 1: expected NAME and the id"),
        ("\nURI:a pk_0123456789abcde", "line 2: expected NAME and the id"),
        ("URI:a pk_0123456789abcdef_0123", "line 1: expected NAME and the id"),
        ("a.example 0123456789abcdef", "line 1: expected a name"),
        ("DNS: 0123456789abcdef", "line 1: expected a name"),
        ("IP:1.2.3.4 0123456789abcdef", "line 1: expected a name"),
        (
            "DNS:a.example 0123456789abcdef\nDNS:A.example aaaaaaaaaaaaaaaa",
            "line 2 has the name of an earlier line"
        ),
    ])
    func wrongLinesAreNamedAndNotQuoted(text: String, reason: String) {
        #expect(self.reason(text)?.hasPrefix(reason) == true)
        #expect(self.reason(text)?.contains("0123") == false)
    }

    @Test func namesAreBounded() {
        let lines = (0 ... 10_000).map { "URI:a\($0) 0123456789abcdef" }
        #expect(self.reason(lines.joined(separator: "\n")) == "more than 10000 names")
        #expect(self.reason(lines.dropLast().joined(separator: "\n")) == nil)
        #expect(self.reason(String(repeating: "#", count: 2_000_001)) == "more than 2000000 bytes")
    }
}
