/// The columns that text takes in a terminal with a monospaced font.
package enum TextWidth {
    /// Counts 2 for East Asian wide and fullwidth characters and for emoji, 0 for what combines
    /// with the character before it, 1 for others.
    ///
    /// Terminals differ in what they do with sequences of emoji; most draw a sequence in the two
    /// columns of its first one, as here.
    package static func columns(of text: String) -> Int {
        text.reduce(0) { $0 + self.columns(of: $1) }
    }

    private static func columns(of character: Character) -> Int {
        let scalars = character.unicodeScalars
        // U+FE0F asks for the form of an emoji, as in a heart or a keycap.
        if scalars.count > 1, scalars.contains("\u{FE0F}"), scalars.first!.properties.isEmoji {
            return 2
        }
        // A flag is a pair of regional indicators, each of which has emoji presentation.
        return scalars.reduce(0) { max($0, self.columns(of: $1)) }
    }

    private static func columns(of scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x300 { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        // Vowels and final consonants of Hangul, which combine with the consonant before them.
        if (0x1160 ... 0x11FF).contains(scalar.value) { return 0 }
        let isWide =
            scalar.properties.isEmojiPresentation
            || self.wide.contains { $0.contains(scalar.value) }
        return isWide ? 2 : 1
    }

    /// Wide and fullwidth characters that are not emoji.
    ///
    /// Source: East_Asian_Width of Unicode 15 (W and F), with the unassigned gaps of its blocks.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100 ... 0x115F, 0x2329 ... 0x232A, 0x2E80 ... 0x303E, 0x3041 ... 0x3247,
        0x3250 ... 0x4DBF, 0x4E00 ... 0xA4CF, 0xA960 ... 0xA97F, 0xAC00 ... 0xD7A3,
        0xF900 ... 0xFAFF, 0xFE10 ... 0xFE19, 0xFE30 ... 0xFE6F, 0xFF01 ... 0xFF60,
        0xFFE0 ... 0xFFE6, 0x1_6FE0 ... 0x1_B2FF, 0x1_F200 ... 0x1_F320, 0x2_0000 ... 0x3_FFFD,
    ]
}
