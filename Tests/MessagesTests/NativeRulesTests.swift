import Bytes
import Profiles
import Testing

@testable import Messages

/// What native attributes may be, and that no violation quotes a value.
@Suite struct NativeRulesTests {
    private static func error(_ native: NativeAttribute, _ text: String) -> String? {
        Array(text.utf8).withUnsafeBytes { NativeRules.error(native, $0) }
    }

    @Test(
        arguments: [
            0x00AD, 0x034F, 0x061C, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x202A, 0x202E,
            0x2060, 0x2064, 0x2066, 0x2069, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xE0041, 0x07, 0x7F,
            0x9F,
        ] as [UInt32])
    func invisibleCharacterOfAnEmailAddressIsRejectedByItsName(scalar: UInt32) throws {
        let character = String(try #require(Unicode.Scalar(scalar)))
        let name = String(scalar, radix: 16, uppercase: true)
        for address in ["an\(character)n@example.com", "ann@exam\(character)ple.com"] {
            let error = try #require(Self.error(.emailAddress, address))
            #expect(error.contains("U+") && error.contains("\(name),"))
            #expect(!error.contains("example"))
        }
        #expect(try #require(Self.error(.phoneNumber, "+4930\(character)1")).contains("E.164"))
    }

    @Test(arguments: [
        "josé@bücher.example", "νίκος@παράδειγμα.ελ", "用户@例子.广告",
        "मेल@उदाहरण.भारत",
        "\"quoted\"@example.com", "a+b@xn--bcher-kva.example", "o'neil@example.com",
        "❤@example.com",
    ])
    func visibleEmailAddressIsAcceptedInAnyScript(address: String) {
        #expect(Self.error(.emailAddress, address) == nil)
    }

    @Test(arguments: ["ann b@c", "ann\u{A0}b@c", "ann\u{3000}b@c", "ann\tb@c", "ann\u{2028}@c"])
    func whiteSpaceOfAnEmailAddressIsABlank(address: String) throws {
        #expect(try #require(Self.error(.emailAddress, address)).contains("blank"))
    }

    @Test(arguments: [
        "+４９３０１", "+49\u{660}1", "+49 30", "+49-30", "４９", "+49\u{200B}30",
    ])
    func phoneNumberHasDigitsOfASCIIOnly(number: String) {
        #expect(Self.error(.phoneNumber, number) != nil)
    }

    @Test(arguments: [
        "Africa/Abidjan", "Zulu", "Europe/Paris", "CET", "US/Pacific", "Asia/Calcutta",
        "Asia/Kolkata", "Etc/GMT+5", "GMT0", "UTC", "America/Argentina/ComodRivadavia",
        "America/Port-au-Prince", "W-SU",
    ])
    func nameOfTheTimeZoneDatabaseIsATimeZone(name: String) {
        #expect(Self.error(.timezone, name) == nil)
    }

    @Test(arguments: [
        "Europe/Pariss", "Europe/Pari", "Europe", "Europe/", "/Europe/Paris", "CEST", "Mars/Phobos",
        "europe/paris", "EUROPE/PARIS", "Europe/Paris ", "Europe/Paris Europe/Podgorica",
        "Africa/Abidja", "A", "ZZZ", "Zulu2", "+01:00", "UTC+1", "posix/Europe/Paris", "localtime",
        "Europe/Parış", "Europe\\Paris", "Africa/Abidjan Africa/Accra",
    ])
    func otherTextIsNoTimeZone(name: String) throws {
        let error = try #require(Self.error(.timezone, name))
        #expect(error.contains("tz database (2026f)") && !error.contains("Mars"))
    }

    @Test func everyNameOfTheTableIsFound() {
        let names = TimeZoneTable.names.description.split(separator: " ").map(String.init)
        #expect(
            names.count == 598
                && names == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        #expect(names.filter { Self.error(.timezone, $0) != nil } == [])
        #expect(names.filter { Self.error(.timezone, $0 + "x") == nil } == [])
        #expect(names.allSatisfy { $0.utf8.count <= 64 })
    }

    @Test(arguments: [
        ("de", true), ("deu", true), ("pt-BR", true), ("zh-Hant-TW", true), ("de-1996", true),
        ("d", false), ("german", false), ("de_DE", false), ("de-", false), ("dé", false),
        ("1e", false), ("de\u{200B}", false), ("de-aaaaaaaa-bbbb", false),
    ])
    func languagesAreCheckedForForm(text: String, isValid: Bool) {
        #expect((Self.error(.language, text) == nil) == isValid)
    }

    @Test(arguments: [
        ("DE", true), ("XK", true), ("de", false), ("DEU", false), ("D1", false), ("ＤＥ", false),
        ("UK", false),
    ])
    func regionsAreCodesOfCountries(text: String, isValid: Bool) {
        #expect((Self.error(.region, text) == nil) == isValid)
    }
}
