import Bytes
import Testing

@testable import Profiles

/// The text of a key, which untrusted clients send.
@Suite struct KeyTextTests {
    private static let name = KeyName(bits: (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210))

    private static func text(_ secret: [UInt8]) -> [UInt8] {
        var buffer = ByteBuffer()
        secret.withUnsafeBytes { KeyText.write(Self.name, secret: $0, into: &buffer) }
        return Array(buffer.bytes)
    }

    private static func read(_ text: [UInt8]) -> (name: KeyName?, secret: [UInt8]) {
        var secret = [UInt8](repeating: 0xFF, count: KeySecret.bytes)
        let name = text.withUnsafeBytes { text in
            secret.withUnsafeMutableBytes { KeyText.read(text, secret: $0) }
        }
        return (name, secret)
    }

    @Test(arguments: [UInt8(0), 1, 0x7F, 0x80, 0xFF])
    func textGivesBackNameAndSecret(byte: UInt8) {
        let secret = (0 ..< 32).map { UInt8($0) &* 37 ^ byte }
        let text = Self.text(secret)
        #expect(text.count == KeyText.bytes && text.count == 63)
        let found = Self.read(text)
        #expect(found.name == Self.name && found.secret == secret)
    }

    /// Every byte at every position: only what `write` would write is a key, so a key has one text.
    @Test func changedTextIsAnotherKeyOrNone() {
        let text = Self.text((0 ..< 32).map { UInt8($0 * 8) })
        for position in 0 ..< text.count {
            for byte in UInt8.min ... .max {
                var changed = text
                changed[position] = byte
                let found = Self.read(changed)
                guard let name = found.name else { continue }
                var again = ByteBuffer()
                found.secret.withUnsafeBytes { KeyText.write(name, secret: $0, into: &again) }
                #expect(Array(again.bytes) == changed)
            }
        }
    }

    @Test func textOfAnotherLengthIsNoKey() {
        let text = Self.text([UInt8](repeating: 1, count: 32))
        for length in 0 ..< text.count { #expect(Self.read(Array(text[..<length])).name == nil) }
        #expect(Self.read(text + [UInt8(ascii: "A")]).name == nil)
    }

    @Test func namesAreSixteenLowerCaseLettersOrDigits() {
        for bits in [(0, 0), (UInt64.max, UInt64.max), (1, 0x8000_0000_0000_0000)] {
            let name = KeyName(bits: bits)
            #expect(Array(name.description.utf8).withUnsafeBytes { KeyName(text: $0) } == name)
            #expect(KeyName(high: name.high, low: name.low) == name)
        }
        for text in ["", "abc", "ABCDEFGHIJKLMNOP", "abcdefgh-jklmnop", "abcdefghijklmnopq"] {
            #expect(withBytes(text) { KeyName(text: $0) } == nil)
        }
        #expect(KeyName(high: 0, low: 0) == nil)
    }

    /// HMAC-SHA-256 of the secret under `k0 | k1 | "profiles.access-key.1"`, computed by another
    /// implementation.
    @Test func hashIsKeyedByTheDirectory() {
        let secret = (0 ..< 32).map { UInt8($0) }
        let hash = secret.withUnsafeBytes {
            KeySecret.hash($0, key: SipHashKey(k0: 1, k1: 2))
        }
        #expect(hash.words.0 == 0x272e_7ac6_2ae6_29dd)
        #expect(
            hash != secret.withUnsafeBytes { KeySecret.hash($0, key: SipHashKey(k0: 1, k1: 3)) })
    }
}
