import Bytes
@_spi(_Unicode) import Swift
import Testing

@testable import Profiles

/// Which spellings are one address. The expected host names were computed with libidn2 2.3.3.
@Suite struct AddressKeyTests {
    private static func key(_ address: String, _ channel: Channel = .email) -> String {
        withBytes(address) { bytes in
            AddressKey.with(channel, bytes) { String(decoding: $0, as: UTF8.self) }
        }
    }

    private static func formerKey(_ address: String) -> String {
        withBytes(address) { bytes in
            AddressKey.withFormer(.email, bytes) { String(decoding: $0, as: UTF8.self) }
        }
    }

    @Test(arguments: [
        ("JOSÉ@example.com", "josé@example.com"),
        ("jose\u{301}@example.com", "jos\u{E9}@example.com"),
        ("ΝΙΚΟΣ@example.com", "νικος@example.com"),
        ("νικοσ@example.com", "νικος@example.com"),
        ("ИВАН@пример.рф", "иван@xn--e1afmkfd.xn--p1ai"),
        ("Ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@bu\u{308}cher.example", "ANN@XN--BCHER-KVA.example"),
        ("ann@ｂüｃｈｅｒ．example", "ann@bücher.example"),
        ("ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("STRAẞE@example.com", "straße@example.com"),
        ("İ@example.com", "i\u{307}@example.com"),
        ("\u{212A}\u{212B}@example.com", "kå@example.com"),
        ("각@example.com", "\u{1100}\u{1161}\u{11A8}@example.com"),
        ("a\u{323}\u{307}@example.com", "a\u{307}\u{323}@example.com"),
        ("an\u{200B}n@exam\u{AD}ple.com", "ann@example.com"),
    ])
    func spellingsOfOneAddressHaveOneKey(left: String, right: String) {
        #expect(Self.key(left) == Self.key(right))
        #expect(Array(Self.key(left).utf8) == Array(Self.key(Self.key(left)).utf8), "settled")
    }

    @Test(arguments: [
        ("ann@faß.de", "ann@fass.de"),
        ("straße@example.com", "strasse@example.com"),
        ("jose@example.com", "josé@example.com"),
        ("ann@bücher.example", "ann@bucher.example"),
        // The dotless letter is another one in every language that has it.
        ("ı@example.com", "i@example.com"),
        // Joiners tell names apart in Persian and Hindi.
        ("ann@xn--mgba3gch31f060k.com", "ann@xn--mgba3gch31f.com"),
        ("ann@a.b", "ann@ab"),
    ])
    func differentAddressesHaveDifferentKeys(left: String, right: String) {
        #expect(Array(Self.key(left).utf8) != Array(Self.key(right).utf8))
    }

    @Test(arguments: [
        ("faß.de", "xn--fa-hia.de"), ("βόλος.com", "xn--nxasmm1c.com"),
        ("ΒΌΛΟΣ.com", "xn--nxasmq6b.com"),
        ("Königsgäßchen.de", "xn--knigsgchen-b4a3dun.de"),
        ("правда.рф", "xn--80aafi6cg.xn--p1ai"), ("북한.kr", "xn--pr3b894b.kr"),
        ("☃.net", "xn--n3h.net"), ("مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"),
        ("ᏣᎳᎩ.example", "xn--f9dt7l.example"), ("１２３.example", "123.example"),
        ("①.example", "1.example"),
        ("𝐀𝔹𝒞.example", "abc.example"), ("ǆ.example", "xn--d-toa.example"),
    ])
    func hostNamesAreThoseOfTheirALabels(name: String, expected: String) {
        #expect(Self.key("a@\(name)") == "a@\(expected)")
    }

    @Test(arguments: [
        "ann@xn--a.example", "ann@xn--.example", "ann@xn---.example", "ann@-a-.example",
        "ann@a..b", "ann@[ipv6:::1]", "ann@xn--bcher-kva.", "ann@a_b.example",
    ])
    func hostThatIsNoValidNameStaysAsItIs(address: String) {
        #expect(Self.key(address) == address)
    }

    @Test func asciiAddressKeepsItsFormerKeyAndAPhoneNumberItsBytes() {
        let printable = String(String.UnicodeScalarView((0x21 ... 0x7E).map { Unicode.Scalar($0) }))
        #expect(Self.key(printable) == Self.formerKey(printable))
        #expect(Self.key(printable) == printable.lowercased())
        #expect(Self.key("+49ABC", .sms) == "+49ABC")
    }

    @Test func longestAddressHasAKey() {
        let longest =
            String(repeating: "ΐ", count: 120) + "@" + String(repeating: "ﷺ", count: 133)
        let key = Self.key(longest)
        #expect(key.hasPrefix("ΐ") && key.contains("@xn--") && Self.key(key) == key)
    }

    // The standard library is another implementation. It may know another version of Unicode, so
    // that only what it knows as assigned is compared.

    private static func scalars(_ range: ClosedRange<UInt32>) -> some Sequence<Unicode.Scalar> {
        range.lazy.compactMap { Unicode.Scalar($0) }.filter {
            $0.properties.generalCategory != .unassigned
        }
    }

    /// What has mappings, and the ideographs without any left out, of which there are 90,000.
    private static var mapped: [Unicode.Scalar] {
        let ranges: [ClosedRange<UInt32>] = [
            0 ... 0x33FF, 0xA000 ... 0xB000, 0xD700 ... 0x16FFF, 0x1B000 ... 0x1FFFF,
            0x2F800 ... 0x2FFFF,
        ]
        return ranges.flatMap { Array(self.scalars($0)) }
    }

    @Test func everyScalarIsComposedAsTheStandardLibraryComposesIt() {
        let different = Self.mapped.filter {
            CanonicalText.composed([$0.value]) != String($0)._nfc.map(\.value)
        }
        #expect(different.map(\.value) == [])
    }

    @Test func marksAreOrderedAndComposedAsTheStandardLibraryDoes() {
        var random = SystemSeed(state: 7)
        let marks = Array(Self.scalars(0x300 ... 0x36F)) + Array(Self.scalars(0x591 ... 0x5C7))
        let letters = Array(Self.scalars(0x41 ... 0x24F)) + Array(Self.scalars(0x1100 ... 0x11FF))
        for _ in 0 ..< 20_000 {
            var text = String.UnicodeScalarView()
            for _ in 0 ..< 6 {
                let pool = random.next() % 3 == 0 ? letters : marks
                text.append(pool[Int(random.next() % UInt64(pool.count))])
            }
            let composed = CanonicalText.composed(text.map(\.value))
            #expect(composed == String(text)._nfc.map(\.value), "\(text.map(\.value))")
        }
    }

    @Test func everyScalarIsInLowerCaseAsTheStandardLibraryWritesIt() {
        let different = Self.mapped.filter { scalar in
            var lower: [UInt32] = []
            LowerCase.append(scalar.value, to: &lower)
            return CanonicalText.composed(lower)
                != String(scalar).lowercased()._nfc.map(\.value)
        }
        #expect(different.map(\.value) == [])
    }

    @Test func invisibleCharactersAreThoseOfTheStandardLibrary() {
        let different = (0 ... 0x10FFFF as ClosedRange<UInt32>).filter { value in
            guard let properties = Unicode.Scalar(value)?.properties else { return false }
            let category = properties.generalCategory
            let isInvisible =
                properties.isDefaultIgnorableCodePoint || category == .control
                || category == .format
            guard category != .unassigned || isInvisible else { return false }
            return InvisibleCharacters.contains(value) != isInvisible
        }
        #expect(different == [])
    }
}

/// A linear congruential generator: the same marks in every run.
private struct SystemSeed {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return self.state >> 33
    }
}
