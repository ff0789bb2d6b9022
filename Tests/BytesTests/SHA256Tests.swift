import Bytes
import Testing

/// Vectors of FIPS 180-4's examples, NIST's long messages, RFC 4231 and RFC 4648.
@Suite struct SHA256Tests {
    private static func hex(_ digest: SHA256Digest) -> String {
        var buffer = ByteBuffer()
        digest.write(into: &buffer)
        return buffer.bytes.map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ])
    func vectorOfTheStandardHasItsDigest(message: String, digest: String) {
        #expect(Self.hex(Self.bytes(message).withUnsafeBytes { SHA256.hash($0) }) == digest)
    }

    @Test func millionLettersHaveTheirDigest() {
        let message = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        #expect(
            Self.hex(message.withUnsafeBytes { SHA256.hash($0) })
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test(arguments: 0 ... 130)
    func everySplitGivesTheDigestOfTheWhole(split: Int) {
        let message = (0 ..< 130).map { UInt8($0) }
        let whole = message.withUnsafeBytes { SHA256.hash($0) }
        var hash = SHA256()
        message[..<split].withUnsafeBytes { hash.update($0) }
        message[split...].withUnsafeBytes { hash.update($0) }
        #expect(hash.finish() == whole)
    }

    @Test(arguments: [
        (
            [UInt8](repeating: 0x0b, count: 20), Self.bytes("Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Self.bytes("Jefe"), Self.bytes("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
            (1 ... 25).map { UInt8($0) }, [UInt8](repeating: 0xcd, count: 50),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
        ),
        (
            [UInt8](repeating: 0xaa, count: 131),
            Self.bytes("Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
        (
            [UInt8](repeating: 0xaa, count: 131),
            Self.bytes(
                "This is a test using a larger than block-size key and a larger than block-size "
                    + "data. "
                    + "The key needs to be hashed before being used by the HMAC algorithm."),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
        ),
    ])
    func vectorOfRFC4231HasItsCode(key: [UInt8], message: [UInt8], code: String) {
        let computed = key.withUnsafeBytes { key in
            message.withUnsafeBytes { HMACSHA256.code($0, key: key) }
        }
        #expect(Self.hex(computed) == code)
    }

    @Test func digestRoundTrips() {
        let digest = Self.bytes("abc").withUnsafeBytes { SHA256.hash($0) }
        var buffer = ByteBuffer()
        digest.write(into: &buffer)
        var reader = ByteReader(buffer.bytes)
        #expect(SHA256Digest(from: &reader) == digest && reader.isAtCleanEnd)
    }
}

@Suite struct Base64URLTests {
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
        ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ])
    func vectorOfRFC4648IsReadAndWritten(bytes: String, text: String) {
        var encoded = ByteBuffer()
        Array(bytes.utf8).withUnsafeBytes { Base64URL.encode($0, into: &encoded) }
        #expect(String(decoding: encoded.bytes, as: UTF8.self) == text)
        var decoded = ByteBuffer()
        #expect(Array(text.utf8).withUnsafeBytes { Base64URL.decode($0, into: &decoded) })
        #expect(String(decoding: decoded.bytes, as: UTF8.self) == bytes)
    }

    @Test(arguments: ["Z", "Zg==", "Zh", "Zm9v!", "Zm+v", "Zm/v", "Zm9vY"])
    func invalidTextIsRejected(text: String) {
        var decoded = ByteBuffer()
        #expect(!Array(text.utf8).withUnsafeBytes { Base64URL.decode($0, into: &decoded) })
    }
}
