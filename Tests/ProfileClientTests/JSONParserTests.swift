import ProfileClient
import Testing

@Suite struct JSONParserTests {
    private func parsed(_ text: String) throws -> JSONValue { try JSONParser.parse(text.utf8) }

    @Test(arguments: [
        "null", "true", "-0", "12345678901234567890", "1.5e-7", #""a\"b\\c\nd""#, "[]", "{}",
        #"{"b":[1,{"a":null}],"a":"ü𝄞"}"#,
    ])
    func textRoundTrips(text: String) throws {
        #expect(try self.parsed(text).description == text)
    }

    @Test func escapesBecomeScalars() throws {
        #expect(try self.parsed(#""\u00e9\ud834\udd1e\/\b\f""#) == .string("é𝄞/\u{8}\u{C}"))
    }

    @Test(arguments: [
        "", "nul", "01", "1.", ".5", "+1", "1e", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "\"a",
        "\"\u{1}\"", #""\x""#, #""\ud834""#,
        #""\udd1e""#, #""\u12g4""#, "1 2", #"{"a":1,"a":2}"#, "[[", "NaN",
    ])
    func invalidJSONIsRejected(text: String) {
        #expect(throws: JSONSyntaxError.self) { try self.parsed(text) }
    }

    @Test func everyTruncationIsRejected() throws {
        let text = #"{"a":[1,true,null,"\u00e9"],"b":{"c":"d"}}"#
        for count in 0 ..< text.utf8.count {
            #expect(throws: JSONSyntaxError.self) { try JSONParser.parse(text.utf8.prefix(count)) }
        }
    }

    @Test func depthIsBounded() throws {
        #expect(throws: Never.self) {
            try self.parsed(String(repeating: "[", count: 60) + String(repeating: "]", count: 60))
        }
        #expect(throws: JSONSyntaxError.self) {
            try self.parsed(String(repeating: "[", count: 100_000))
        }
    }

    @Test func errorsHaveTheirOffset() {
        #expect(throws: JSONSyntaxError(offset: 5, reason: "invalid value")) {
            try self.parsed(#"{"a":x}"#)
        }
    }

    @Test func invalidUTF8IsRejected() {
        #expect(throws: JSONSyntaxError.self) {
            try JSONParser.parse([0x22, 0xFF, 0x22] as [UInt8])
        }
    }
}
