/// Makes untrusted text safe for a terminal, and aligns it.
package enum TerminalText {
    /// Replaces characters that could move the cursor, fake lines, reorder text or be invisible, by
    /// their number, such as `\u{1b}`.
    package static func safe(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: self.isUnsafe) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            if self.isUnsafe(scalar) {
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    /// The joiners U+200C and U+200D are shown as they are: Persian and emoji need them.
    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // C0 and C1 controls.
        case 0 ..< 0x20, 0x7F ... 0x9F: true
        // Bidirectional controls, with the deprecated ones.
        case 0x61C, 0x200E, 0x200F, 0x202A ... 0x202E, 0x2066 ... 0x206F: true
        // Line and paragraph separators.
        case 0x2028, 0x2029: true
        // Invisible: soft hyphen, Mongolian separator, zero width space, word joiner and invisible
        // operators, byte order mark, interlinear annotations, language tag.
        case 0xAD, 0x180E, 0x200B, 0x2060 ... 0x2064, 0xFEFF, 0xFFF9 ... 0xFFFB, 0xE0001: true
        default: false
        }
    }

    /// Formats rows as columns, each as wide as its widest cell; the last column is not padded.
    ///
    /// Cells are made safe here, whoever composed them.
    package static func table(_ rows: [[String]], indent: String = "  ") -> String {
        let rows = rows.map { $0.map(self.safe) }
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], TextWidth.columns(of: cell))
            }
        }
        return rows.map { row in
            var line = indent
            for (index, cell) in row.enumerated() {
                line += index == row.count - 1 ? cell : self.padded(cell, to: widths[index] + 2)
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// Appends blanks up to a width in columns of a terminal.
    static func padded(_ text: String, to columns: Int) -> String {
        text + String(repeating: " ", count: max(0, columns - TextWidth.columns(of: text)))
    }
}
