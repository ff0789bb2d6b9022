/// A command line that cannot be understood: exit code 2.
package struct UsageError: Error, Equatable {
    package let text: String

    package init(_ text: String) {
        self.text = text
    }
}

/// A parsed command line: the command, its flags, and the positional arguments in order.
package struct ToolArguments {
    package let command: ToolCommand
    package private(set) var positional: [String] = []
    /// Index of the first positional argument after `--`; `nil` without `--`.
    package private(set) var literalIndex: Int?
    private var values: [String: [String]] = [:]

    /// - Parameter arguments: Without the program's name. Flags may appear anywhere; `--` ends
    ///   them; `--flag=value` is equivalent to two words, `-h` to `--help`.
    /// - Throws: `UsageError` for an unknown command or flag, with the most similar known one.
    package init(_ arguments: [String]) throws(UsageError) {
        var rest = ArraySlice(arguments)
        var found: ToolCommand?
        var early: [(String, String)] = []
        while let word = rest.popFirst() {
            if word == "--" {
                self.literalIndex = self.positional.count
                self.positional += rest
                break
            }
            if word == "-h" {
                early.append(("--help", ""))
                continue
            }
            guard word.hasPrefix("--"), word.count > 2 else {
                if found == nil {
                    guard let command = ToolCommand.named(word) else {
                        throw UsageError(
                            "unknown command "
                                + "\(word)\(Self.nearest(word, ToolCommand.all.map(\.name))); "
                                + "`profilectl help` lists them"
                        )
                    }
                    found = command
                } else {
                    self.positional.append(word)
                }
                continue
            }
            let options = ToolCommand.globalOptions + (found?.options ?? [])
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard let option = options.first(where: { $0.name == parts[0] }) else {
                let context = found.map { " for \($0.name)" } ?? " before the command"
                throw UsageError(
                    "unknown flag "
                        + "\(parts[0])\(context)\(Self.nearest(parts[0], options.map(\.name)))"
                )
            }
            if option.value == nil {
                guard parts.count == 1 else { throw UsageError("\(option.name) takes no value") }
                early.append((option.name, ""))
            } else if let value = parts.count == 2 ? parts[1] : rest.popFirst() {
                early.append((option.name, value))
            } else {
                throw UsageError("\(option.name) needs a value: \(option.value!)")
            }
        }
        let isText = early.contains { $0.0 == "--help" || $0.0 == "--version" }
        guard let command = found ?? (isText ? ToolCommand.named("help") : nil) else {
            throw UsageError("no command; `profilectl help` lists them")
        }
        self.command = command
        for (name, value) in early { self.values[name, default: []].append(value) }
    }

    package func has(_ flag: String) -> Bool { self.values[flag] != nil }

    /// The last value given.
    package subscript(_ flag: String) -> String? { self.values[flag]?.last }

    package func all(_ flag: String) -> [String] { self.values[flag] ?? [] }

    /// A non-negative integer.
    package func number(_ flag: String, _ absent: Int) throws(UsageError) -> Int {
        guard let text = self[flag] else { return absent }
        guard let number = Int(text), number >= 0 else {
            throw UsageError("\(flag) \(text): expected a non-negative integer")
        }
        return number
    }

    /// `, did you mean X?` if a candidate is similar enough, or the word is its beginning;
    /// otherwise an empty text.
    static func nearest(_ word: String, _ candidates: [String]) -> String {
        let best = candidates.map { ($0, self.distance(Array(word), Array($0))) }.min {
            $0.1 < $1.1
        }
        if let best, best.1 <= max(2, word.count / 3) { return ", did you mean \(best.0)?" }
        guard word.count > 4, let longer = candidates.first(where: { $0.hasPrefix(word) }) else {
            return ""
        }
        return ", did you mean \(longer)?"
    }

    /// The Levenshtein distance.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0 ... right.count)
        for (line, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (index, other) in right.enumerated() {
                let changed = diagonal + (character == other ? 0 : 1)
                diagonal = row[index + 1]
                row[index + 1] = min(changed, row[index] + 1, row[index + 1] + 1)
            }
        }
        return row[right.count]
    }
}
