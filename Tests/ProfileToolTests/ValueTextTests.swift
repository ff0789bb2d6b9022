import ProfileClient
import ProfileTool
import Testing

@Suite struct ValueTextTests {
    @Test(arguments: [
        ("gold", #"{"string":"gold"}"#), ("3", #"{"integer":3}"#), ("-3", #"{"integer":-3}"#),
        ("59.9", #"{"number":59.9}"#), ("1e3", #"{"number":1e3}"#),
        ("true", #"{"boolean":true}"#), ("TRUE", #"{"string":"TRUE"}"#),
        ("007", #"{"string":"007"}"#), ("+1", #"{"string":"+1"}"#),
        ("99999999999999999999", #"{"string":"99999999999999999999"}"#),
        ("2026-01-31T12:00:00Z", #"{"time":"2026-01-31T12:00:00Z"}"#),
        ("2026-01-31", #"{"string":"2026-01-31"}"#),
        ("https://a.example/b?c=d", #"{"url":"https://a.example/b?c=d"}"#),
        ("see https://a.example", #"{"string":"see https://a.example"}"#),
        ("[a, b,c]", #"{"list":{"items":["a","b","c"]}}"#),
        ("[]", #"{"list":{"items":[]}}"#), ("", #"{"string":""}"#), ("null", #"{"string":"null"}"#),
        ("1.0e999", #"{"string":"1.0e999"}"#),
        (#"["s","m"]"#, #"{"list":{"items":["s","m"]}}"#),
        (#"["s, m", "a\"b"]"#, #"{"list":{"items":["s, m","a\"b"]}}"#),
        (#"[40,41.50,true]"#, #"{"list":{"items":["40","41.50","true"]}}"#),
        (#"["s", m]"#, #"{"list":{"items":["s","m"]}}"#),
        (#"["s]"#, #"{"list":{"items":["\"s"]}}"#),
        (#""007""#, #""007""#), (#"[{"sku":"a"}]"#, #"[{"sku":"a"}]"#),
        (#"{"a":1}"#, #"{"a":1}"#), (#"{a}"#, #"{"string":"{a}"}"#),
        (#""a" and "b""#, #"{"string":"\"a\" and \"b\""}"#),
    ])
    func typeIsDetectedFromTheText(text: String, value: String) {
        #expect(ValueText.detect(text).description == value)
    }

    @Test(arguments: [
        ("a=b", "a", ValueText.Operator.set, "b"), ("a:=1", "a", .json, "1"),
        ("a+=[x]", "a", .add, "[x]"), ("a-=x", "a", .remove, "x"),
        ("a=b=c", "a", .set, "b=c"), ("a=", "a", .set, ""), ("a=:=", "a", .set, ":="),
    ])
    func assignmentsAreSplitAtTheFirstEqualsSign(
        word: String, name: String, operation: ValueText.Operator, text: String
    ) throws {
        let found = try ValueText.split(word)
        #expect(found.name == name && found.operation == operation && found.text == text)
    }

    @Test(arguments: ["a", "=b", ":=1", "+=x"])
    func wordsWithoutNameOrEqualsSignAreRejected(word: String) {
        #expect(throws: UsageError.self) { try ValueText.split(word) }
    }

    @Test func explicitJSONKeepsItsType() throws {
        #expect(try ValueText.value(ValueText.split(#"a:="007""#)) == .string("007"))
        #expect(throws: UsageError.self) { try ValueText.value(ValueText.split("a:=gold")) }
    }

    @Test func identifiersAreParsedWithAndWithoutPrefix() {
        #expect(WhoText.identifier("anna").description == #"{"custom_id":"anna"}"#)
        #expect(WhoText.identifier("device:x:y").description == #"{"installation_id":"x:y"}"#)
        #expect(WhoText.identifier("custom:device:x").description == #"{"custom_id":"device:x"}"#)
    }

    @Test func channelsMayHaveATopic() throws {
        #expect(try WhoText.channel("email/a/b") == (.string("EMAIL"), .string("a/b")))
        #expect(try WhoText.channel("SMS").topic == nil)
        #expect(throws: UsageError.self) { try WhoText.channel("fax") }
    }
}
