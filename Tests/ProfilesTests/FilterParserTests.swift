import Testing

@testable import Profiles

/// What is a filter, how it is grouped, and what is said of any other text.
@Suite struct FilterParserTests {
    private static func canonical(_ text: String) throws -> String {
        try CompiledFilter(text, .trigger).canonicalText
    }

    private static let canonicalForms: [(String, String)] = [
        ("", ""), (" \t\r\n ", ""),
        ("a = 1", "attributes.a = 1"),
        ("a=1", "attributes.a = 1"),
        ("a  !=  -1", "attributes.a != -1"),
        ("Attributes.Plan = gold", #"attributes.plan = "gold""#),
        ("profile.attributes.plan = 'gold'", #"attributes.plan = "gold""#),
        ("PROFILE.STATE = IDENTIFIED", "state = IDENTIFIED"),
        (#"state = "ANONYMOUS""#, "state = ANONYMOUS"),
        ("attributes.email_address:*", "email_address:*"),
        (
            "a < 1 b <= 2 c > 3 d >= 4",
            "attributes.a < 1 AND attributes.b <= 2 AND attributes.c > 3 AND attributes.d >= 4"
        ),
        ("subscriptions.email.NEWS = PENDING", "subscriptions.EMAIL.news = PENDING"),
        ("suppressed.sms = true", "suppressed.SMS = true"),
        ("events.Buy.COUNT > 2.50", "events.buy.count > 2.5"),
        ("event.amount = 1e3", "event.attributes.amount = 1000.0"),
        ("event.attributes.label = x", #"event.attributes.label = "x""#),
        ("event.label = x", #"event.label = "x""#),
        ("event.cart.shop.city:*", "event.attributes.cart.shop.city:*"),
        ("installations:phone-1", #"installations:"phone-1""#),
        ("gold", #""gold""#), ("-42", "NOT 42"), ("true", "true"), ("\"true\"", #""true""#),
        ("a = 01234", #"attributes.a = "01234""#),
        ("a = 1.2.3", #"attributes.a = "1.2.3""#),
        ("a = anna@example.com", #"attributes.a = "anna@example.com""#),
        ("a = Zürich", #"attributes.a = "Zürich""#),
        (#"a = "q\"b\\t\n\tt\u00e9""#, #"attributes.a = "q\"b\\t\n\tté""#),
        (#"a = 'it''s'"#, ""),
        (#"a = "*b*""#, #"attributes.a = "*b*""#),
        (#"a = "\*b\*""#, #"attributes.a = "\*b\*""#),
        (#"a = "b*c""#, #"attributes.a = "b*c""#),
        (#"a < "b*""#, #"attributes.a < "b\*""#),
        ("a = *", #"attributes.a = "*""#), ("a:*", "attributes.a:*"),
        (#"a:"*""#, #"attributes.a:"\*""#),
    ]

    @Test(arguments: Self.canonicalForms)
    func textHasItsCanonicalForm(text: String, canonical: String) throws {
        guard !canonical.isEmpty || text.allSatisfy(\.isWhitespace) else {
            // The other kind of quotes needs an escape.
            #expect(throws: FilterError.self) { try Self.canonical(text) }
            return
        }
        #expect(try Self.canonical(text) == canonical)
        #expect(try Self.canonical(canonical) == canonical)
    }

    private static let groups: [(String, String)] = [
        ("x OR y AND z", #"("x" OR "y") AND "z""#),
        ("x AND y OR z", #""x" AND ("y" OR "z")"#),
        ("x y OR z w", #""x" AND ("y" OR "z") AND "w""#),
        ("x y AND z", #""x" AND "y" AND "z""#),
        ("(x AND y) OR z", #"("x" AND "y") OR "z""#),
        ("x AND (y AND z)", #""x" AND "y" AND "z""#),
        ("(x OR (y OR z))", #""x" OR "y" OR "z""#),
        ("NOT x OR y", #"(NOT "x") OR "y""#),
        ("-x y", #"(NOT "x") AND "y""#),
        ("NOT (x y)", #"NOT ("x" AND "y")"#),
        ("NOT(x)", #"NOT "x""#), ("-(-x)", #"NOT (NOT "x")"#),
        ("(x)(y)", #""x" AND "y""#),
    ]

    @Test(arguments: Self.groups)
    func operatorsBindAsInTheGrammar(text: String, grouped: String) throws {
        #expect(
            try FilterParser.parse(text, .profile) == FilterParser.parse(grouped, .profile))
        let canonical = try Self.canonical(text)
        #expect(
            try FilterParser.parse(canonical, .profile) == FilterParser.parse(text, .profile))
    }

    private static let term = "a comparison such as `state = IDENTIFIED`"
    private static let field =
        "a field such as `state`, `attributes.NAME`, `events.NAME.count` or `subscriptions.EMAIL`"
    private static let time = #"a time such as "2026-01-31T12:00:00Z" or "-30d""#

    private static let rejected: [(String, String)] = [
        ("AND", "column 1: found `AND`, expected \(Self.term)"),
        ("a = 1 AND", "column 10: found the end, expected \(Self.term)"),
        ("a = 1 OR OR b = 1", "column 10: found `OR`, expected \(Self.term)"),
        ("NOT", "column 4: found the end, expected \(Self.term)"),
        ("NOT NOT a", "column 5: found `NOT`, expected \(Self.term)"),
        ("- a", "column 2: found a character that is not allowed, expected \(Self.term)"),
        ("--a", "column 2: found `-`, expected \(Self.term)"),
        ("()", "column 2: found `)`, expected \(Self.term)"),
        ("(a", "column 3: found the end, expected `AND`, `OR`, a comparison or `)`"),
        ("a)", "column 2: found `)`, expected `AND`, `OR`, a comparison or the end"),
        ("a & b", "column 3: found `&`, expected \(Self.term)"),
        ("a = ", "column 5: found the end, expected a value, texts in quotes"),
        ("a == 1", "column 4: found `=`, expected a value, texts in quotes"),
        ("a = (b)", "column 5: found `(`, expected a value, texts in quotes"),
        ("a = OR", "column 5: found `OR`, expected a value, texts in quotes"),
        ("a = \"b\"c = 1", "column 8: found a word, expected a blank between comparisons"),
        ("a = x:y", "column 6: found `:`, expected a blank between comparisons"),
        ("f(a)", "column 1: found a function, expected \(Self.term)"),
        ("\"a\" = 1", "column 1: found a text, expected a field on the left of a comparison"),
        ("a = \"b", "column 5: found a text without its closing quote"),
        (
            #"a = "\x""#,
            #"column 6: found an unknown escape, expected `\\`, `\"`, `\'`, `\*`,"#
                + #" `\n`, `\r`, `\t`, or `\u` and four hexadecimal digits"#
        ),
        (
            #"a = "\ud800""#,
            #"column 6: found an unknown escape, expected `\\`, `\"`, `\'`, `\*`,"#
                + #" `\n`, `\r`, `\t`, or `\u` and four hexadecimal digits"#
        ),
        ("a = 1 or b = 2", "column 7: found `or`, expected `OR`, or a text in quotes"),
        (
            "a = null",
            "column 5: found `null`, expected a value; `NOT attributes.NAME:*` holds without one"
        ),
        ("a > true", "column 5: found `true`, expected a text, a number or a time"),
        (
            "a = 9223372036854775808",
            "column 5: found a number out of range, expected an integer of 64 bits"
                + " or a finite number"
        ),
        (
            "a = 1e999",
            "column 5: found a number out of range, expected an integer of 64 bits"
                + " or a finite number"
        ),
        ("foo.bar = 1", "column 1: found the unknown field `foo.bar`, expected \(Self.field)"),
        ("a-b = 1", "column 2: found a character that no field has, expected \(Self.field)"),
        ("a..b = 1", "column 3: found no name, expected a name on both sides of a dot"),
        (".a = 1", "column 1: found no name, expected a name on both sides of a dot"),
        ("profile = 1", "column 1: found the unknown field `profile`, expected \(Self.field)"),
        (
            "state.x = ANONYMOUS",
            "column 7: found a name, expected a comparator behind `state`"
        ),
        ("attributes = 1", "column 11: found no further name, expected `attributes.NAME`"),
        ("attributes.a.b = 1", "column 14: found a further name, expected `attributes.NAME`"),
        (
            "attributes.\(String(repeating: "n", count: 31)) = 1",
            "column 12: found a name of 31 characters, expected at most 30"
        ),
        (
            "events.buy.sum = 1",
            "column 12: found an unknown name, expected `count`, `first` or `last`"
        ),
        (
            "subscriptions = UNSET",
            "column 14: found no further name, expected `subscriptions.CHANNEL` or"
                + " `subscriptions.CHANNEL.TOPIC`"
        ),
        (
            "subscriptions.email.a.b = UNSET",
            "column 23: found a further name, expected `subscriptions.CHANNEL` or"
                + " `subscriptions.CHANNEL.TOPIC`"
        ),
        (
            "suppressed.fax = true",
            "column 12: found an unknown channel, expected `EMAIL`, `SMS` or `PUSH`"
        ),
        ("state:ANONYMOUS", "column 6: found `:` behind `state`, expected `=` or `!=`"),
        ("state = identified", "column 9: found a word, expected `ANONYMOUS` or `IDENTIFIED`"),
        (
            "subscriptions.sms = YES",
            "column 21: found a word, expected `SUBSCRIBED`, `UNSUBSCRIBED`, `PENDING` or `UNSET`"
        ),
        ("suppressed.sms = 1", "column 18: found a number, expected `true` or `false`"),
        ("custom_id = 42", "column 13: found a number, expected a text in quotes"),
        ("language:5", "column 10: found a number, expected a text in quotes or `*`"),
        ("installations = x", "column 15: found `=` behind `installations`, expected `:`"),
        (
            "created_at:*",
            "column 11: found `:` behind `created_at`, expected `=`, `!=`, `<`, `<=`, `>` or `>=`"
        ),
        ("created_at > yesterday", "column 14: found a word, expected \(Self.time)"),
        ("created_at > 5", "column 14: found a number, expected \(Self.time)"),
        ("created_at > \"2026-02-29T00:00:00Z\"", "column 14: found a text, expected \(Self.time)"),
        ("events.a.first:x", "column 16: found a word, expected `*`"),
        ("events.a.count = \"3\"", "column 18: found a text, expected a number"),
        (
            "event.a = 1",
            "column 1: found a field of an event, expected a field of a profile:"
                + " only triggers have an event"
        ),
        ("custom_id", "column 10: found a field alone, expected a comparator behind it"),
        ("a = 1 state", "column 12: found a field alone, expected a comparator behind it"),
        ("é = 1", "column 1: found a character that no field has, expected \(Self.field)"),
        ("\u{1}", "column 1: found a character that is not allowed, expected \(Self.term)"),
    ]

    @Test(arguments: Self.rejected)
    func errorNamesTheColumnAndWhatIsExpected(text: String, expected: String) {
        let error = #expect(throws: FilterError.self) { try CompiledFilter(text, .profile) }
        #expect(error?.description == expected)
    }

    private static let rejectedInTriggers: [(String, String)] = [
        (
            "event = 1",
            "column 6: found no further name, expected `event.NAME`, `event.label` or `event.tags`"
        ),
        (
            "event.label.x = a",
            "column 13: found a further name, expected a comparator; an attribute"
                + " of this name is `event.attributes.label`"
        ),
        (
            "event.a.b.c.d = 1",
            "column 13: found a further name, expected an attribute of the event,"
                + " and at most 2 names of objects inside of it"
        ),
        ("event.tags = a", "column 12: found `=` behind `event.tags`, expected `:`"),
    ]

    @Test(arguments: Self.rejectedInTriggers)
    func errorOfATriggerNamesTheColumnToo(text: String, expected: String) {
        let error = #expect(throws: FilterError.self) { try CompiledFilter(text, .trigger) }
        #expect(error?.description == expected)
    }

    // MARK: Limits

    @Test func textMayHaveTwoThousandCharactersAndNotOneMore() throws {
        let most = "a = \"" + String(repeating: "é", count: 1_994) + "\""
        #expect(most.unicodeScalars.count == 2_000)
        _ = try CompiledFilter(most, .profile)
        let error = #expect(throws: FilterError.self) { try CompiledFilter(most + " ", .profile) }
        #expect(error?.description == "column 2001: 2001 characters, at most 2000 are allowed")
    }

    @Test func filterMayHaveFortyComparisonsAndNotOneMore() throws {
        let most = Array(repeating: "a = 1", count: 39).joined(separator: " OR ") + " x"
        #expect(try CompiledFilter(most, .profile).nodes.count == 40)
        let error = #expect(throws: FilterError.self) { try CompiledFilter(most + " y", .profile) }
        #expect(error?.description == "column \(most.count + 2): more than 40 comparisons")
    }

    @Test func parenthesesMayHaveTenLevelsAndNotOneMore() throws {
        func nested(_ levels: Int) -> String {
            String(repeating: "(", count: levels) + "a = 1" + String(repeating: ")", count: levels)
        }
        _ = try CompiledFilter(nested(10), .profile)
        _ = try CompiledFilter(nested(10) + nested(10), .profile)
        let error = #expect(throws: FilterError.self) { try CompiledFilter(nested(11), .profile) }
        #expect(error?.description == "column 11: more than 10 levels of parentheses")
    }

    // MARK: Times

    private static let times: [(String, Int64)] = [
        ("1970-01-01T00:00:00Z", Int64(0)), ("2026-01-31T12:00:00.5z", 1_769_860_800_500_000),
        ("2026-01-31t13:30:00+01:30", 1_769_860_800_000_000),
        ("2000-02-29T23:59:59.123456789Z", 951_868_799_123_456),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ]

    @Test(arguments: Self.times)
    func timeIsMicrosecondsSince1970(text: String, microseconds: Int64) {
        let time = FilterTime(Array(text.utf8))
        #expect(time?.microseconds == microseconds && time?.isRelative == false)
    }

    private static let distances: [(String, Int64)] = [
        ("-30d", Int64(-30 * 86_400)), ("+5m", 300), ("-0s", 0), ("-2w", -14 * 86_400),
        ("-1h", -3_600),
    ]

    @Test(arguments: Self.distances)
    func distanceIsSecondsFromTheCall(text: String, seconds: Int64) {
        let time = FilterTime(Array(text.utf8))
        #expect(time == FilterTime(microseconds: seconds * 1_000_000, isRelative: true))
        #expect(time?.absolute(7) == seconds * 1_000_000 + 7)
    }

    @Test(arguments: [
        "", "30d", "-d", "-1.5d", "-1y", "-1d ", "-99999999999w", "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00Z", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z", "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234567890Z", "2026-01-31T12:00:00+1:00",
        "0000-12-31T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "2026-01-31T12:00:00Zx",
    ])
    func otherTextIsNoTime(text: String) {
        #expect(FilterTime(Array(text.utf8)) == nil)
    }
}
