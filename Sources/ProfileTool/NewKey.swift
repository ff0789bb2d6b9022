/// A new key: `pk_<16 characters of [a-z0-9]>_<32 random bytes in base64url>`.
package enum NewKey {
    private static let idCharacters = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    private static let secretCharacters = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    private static let idLength = 16
    private static let secretBytes = 32

    /// - Parameter random: 64 bits of the system's random source, which nobody can guess.
    package static func text(random: () -> UInt64) -> String {
        // The remainder of 64 bits by 36 is as good as equally distributed.
        let id = (0 ..< self.idLength).map { _ in self.idCharacters[Int(random() % 36)] }
        var secret: [Character] = []
        var (bits, count): (UInt64, Int) = (0, 0)
        for _ in 0 ..< self.secretBytes {
            bits = bits << 8 | random() & 0xFF
            count += 8
            while count >= 6 {
                count -= 6
                secret.append(self.secretCharacters[Int(bits >> UInt64(count) & 63)])
            }
        }
        secret.append(self.secretCharacters[Int(bits << UInt64(6 - count) & 63)])
        return "pk_\(String(id))_\(String(secret))"
    }
}
