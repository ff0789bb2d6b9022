import Profiles

/// Text of an operator in which a key may stand by mistake: on a command line, in place of a path.
enum MaskedText {
    private static let prefix = "pk_"
    /// Characters of a key that are no secret: `pk_`, its id, `_`.
    private static let publicCharacters = KeyText.bytes - KeySecret.textBytes

    /// Whether something in it looks like a key.
    static func hasKey(_ text: String) -> Bool { self.of(text) != text }

    /// The text with everything masked that may be the secret of a key: what follows `pk_` and an
    /// id, to the end. A key that is cut short or has grown is masked as well.
    static func of(_ text: String) -> String {
        guard let start = text.firstRange(of: self.prefix)?.lowerBound else { return text }
        let key = text[start...]
        guard key.utf8.count > self.publicCharacters else { return text }
        return text[..<start] + key.prefix(self.publicCharacters) + "***"
    }
}
