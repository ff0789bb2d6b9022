import ProfileTool
import Testing

@Suite struct NewKeyTests {
    @Test func textIsOneOfAKeyAndOfItsRandomBits() {
        var next = UInt64(0)
        let text = NewKey.text(random: {
            defer { next += 1 }
            return next < 16 ? next : next - 16
        })
        // 0...31 in base64url, as any other encoder writes it.
        #expect(text == "pk_0123456789abcdef_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
    }

    @Test func noTwoAreEqual() {
        let keys = (0 ..< 1_000).map { _ in
            NewKey.text(random: { .random(in: .min ... .max) })
        }
        #expect(Set(keys).count == keys.count && Set(keys.map { $0.prefix(19) }).count == 1_000)
    }
}
