/// One manual page in the language of `man(7)`, written from the tables that `--help` prints too.
///
/// Text is taken literally: what the formatter would read as a request or an escape is escaped. The
/// page has no date, so that the same program prints the same page.
package struct ManualPage {
    /// The page in the input language of groff.
    package private(set) var text: String

    /// - Parameters:
    ///   - name: Of the program or the file.
    ///   - section: Of the manual, 1 ... 8.
    ///   - version: Of the program, for the footer.
    ///   - summary: One line without a full stop, which apropos(1) finds.
    package init(_ name: String, section: Int, version: String, summary: String) {
        precondition((1 ... 8).contains(section), "the manual has 8 sections")
        let title = Self.escaped(name.uppercased())
        self.text =
            ".TH \"\(title)\" \(section) \"\" \"Profiles \(Self.escaped(version))\" \"Profiles\"\n"
            // Without hyphenation and adjustment: words of the text are typed by people.
            + ".nh\n.ad l\n"
        self.section("NAME")
        self.text += "\(Self.escaped(name)) \\- \(Self.escaped(summary))\n"
    }

    /// Begins a section, such as `OPTIONS`.
    package mutating func section(_ title: String) {
        self.text += ".SH \"\(Self.escaped(title))\"\n"
    }

    /// Begins a part of a section.
    package mutating func subsection(_ title: String) {
        self.text += ".SS \"\(Self.escaped(title))\"\n"
    }

    /// Adds a paragraph, whose lines the formatter fills.
    package mutating func paragraph(_ lines: String) {
        self.text += ".PP\n\(Self.lines(lines))"
    }

    /// Adds an entry of a list: a term, and what it means.
    package mutating func item(_ term: String, _ paragraphs: [String]) {
        self.text += ".TP\n.B \(Self.escaped(term))\n"
        for (index, paragraph) in paragraphs.enumerated() {
            self.text += (index == 0 ? "" : ".br\n") + Self.lines(paragraph)
        }
    }

    /// Adds lines that keep their breaks and blanks, such as examples.
    package mutating func verbatim(_ lines: String) {
        self.text += ".PP\n.nf\n\(Self.lines(lines)).fi\n"
    }

    /// Each line with what begins a request made harmless, and a break at its end.
    private static func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let escaped = Self.escaped(String(line))
            return (escaped.hasPrefix(".") ? "\\&" : "") + escaped + "\n"
        }.joined()
    }

    /// A backslash, quotes and hyphens stand for themselves, also where the formatter would make
    /// typographic characters of them, which a shell does not understand.
    static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\(rs"
            case "-": result += "\\-"
            case "'": result += "\\(aq"
            case "\"": result += "\\(dq"
            case "`": result += "\\(ga"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            default: result.append(character)
            }
        }
    }
}
