import ProfileClient

/// Parses attribute values of the command line: `amount=59.9`, `items:=[{"sku":"a"}]`.
package enum ValueText {
    /// For the help of the commands that take values.
    static let help = """
        Values: the type is detected from the text; `:=` takes JSON.
          plan=gold      string                   count=3        integer
          amount=59.9    number                   vip=true       boolean (true, false)
          since=2026-01-31T12:00:00Z  time        site=https://shop.example  URL
          sizes=[s,m,l]  list of strings          code='"007"'   a string that looks like a number
          sizes='["s","m, l"]'  the same as JSON  items='[{"sku":"a","amount":9.5}]'  objects
                                                  (events only)
        """

    /// The operator between name and value.
    package enum Operator: String, Equatable, Sendable {
        case set = "="
        case json = ":="
        case add = "+="
        case remove = "-="
    }

    /// One `name=value` of a command line.
    package struct Assignment: Equatable, Sendable {
        package let name: String
        package let operation: Operator
        package let text: String
    }

    /// Splits at the first `=`, which may have `:`, `+` or `-` before it.
    package static func split(_ word: String) throws(UsageError) -> Assignment {
        guard let separator = word.firstIndex(of: "="), separator > word.startIndex else {
            throw UsageError("\(word): expected NAME=VALUE")
        }
        let text = String(word[word.index(after: separator)...])
        let before = word.index(before: separator)
        let operation = Operator(rawValue: String(word[before ... separator]))
        let name = String(word[..<(operation == nil ? separator : before)])
        guard !name.isEmpty else {
            throw UsageError("\(word): the name is missing before \(operation?.rawValue ?? "=")")
        }
        return Assignment(name: name, operation: operation ?? .set, text: text)
    }

    /// A `profiles.v1.Value` as JSON.
    package static func value(_ assignment: Assignment) throws(UsageError) -> JSONValue {
        guard assignment.operation == .json else { return self.detect(assignment.text) }
        do {
            return try JSONParser.parse(assignment.text.utf8)
        } catch {
            throw UsageError(
                "\(assignment.name):= is not JSON at byte \(error.offset): \(error.reason); a "
                    + "string needs quotes, or use \(assignment.name)=..."
            )
        }
    }

    /// Detects an integer, number, boolean, time, URL, list, or a list, object or string in JSON;
    /// anything else is a string.
    package static func detect(_ text: String) -> JSONValue {
        func kind(_ name: String, _ value: JSONValue) -> JSONValue { .object([.init(name, value)]) }
        if text == "true" || text == "false" { return kind("boolean", .bool(text == "true")) }
        if let number = self.number(text) { return number }
        if let time = TimeText.parse(text), text.utf8.count > 10 {
            return kind("time", .string(TimeText.text(microseconds: time)))
        }
        if self.isURL(text) { return kind("url", .string(text)) }
        if let json = self.quotedJSON(text) { return json }
        if text.hasPrefix("["), text.hasSuffix("]") {
            return kind("list", .object([.init("items", .array(self.list(text)))]))
        }
        return kind("string", .string(text))
    }

    /// JSON whose first character cannot be that of a plain value: an object, a list of objects, or
    /// a string in quotes.
    private static func quotedJSON(_ text: String) -> JSONValue? {
        guard let first = text.first, "{[\"".contains(first),
            let json = try? JSONParser.parse(text.utf8)
        else { return nil }
        switch json {
        case .object, .string: return json
        case .array(let items):
            return !items.isEmpty
                && items.allSatisfy { if case .object = $0 { true } else { false } }
                ? json : nil
        case .null, .bool, .number: return nil
        }
    }

    /// Parses `["a", "b"]` in JSON, or splits `[a, b]` or `a,b`, where blanks around an element are
    /// ignored.
    ///
    /// - Returns: Strings; numbers and words of JSON as they are written.
    package static func list(_ text: String) -> [JSONValue] {
        if text.hasPrefix("["), case .array(let items)? = try? JSONParser.parse(text.utf8) {
            return items.map { $0.text == nil ? .string($0.description) : $0 }
        }
        var inner = Substring(text)
        if inner.hasPrefix("["), inner.hasSuffix("]") { inner = inner.dropFirst().dropLast() }
        return inner.split(separator: ",").map { part in
            var trimmed = part
            while trimmed.first == " " { trimmed.removeFirst() }
            while trimmed.last == " " { trimmed.removeLast() }
            // A list may mix elements in quotes with others.
            if trimmed.first == "\"", case .string(let text)? = try? JSONParser.parse(trimmed.utf8)
            {
                return .string(text)
            }
            return .string(String(trimmed))
        }
    }

    /// Accepts only JSON numbers: `007`, `+1` and `1e` stay strings, as do numbers too large for
    /// their type.
    private static func number(_ text: String) -> JSONValue? {
        guard case .number(let digits)? = try? JSONParser.parse(text.utf8), digits == text else {
            return nil
        }
        if Int64(digits) != nil { return .object([.init("integer", .number(digits))]) }
        guard digits.contains(where: { ".eE".contains($0) }), let value = Double(digits),
            value.isFinite
        else { return nil }
        return .object([.init("number", .number(digits))])
    }

    private static func isURL(_ text: String) -> Bool {
        guard let range = text.firstRange(of: "://"), range.lowerBound > text.startIndex,
            range.upperBound < text.endIndex
        else { return false }
        let scheme = text[..<range.lowerBound]
        return scheme.first!.isLetter
            && scheme.allSatisfy {
                $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0))
            }
            && !text.contains(" ")
    }
}

/// Parses the identifiers and channels of the command line.
package enum WhoText {
    /// A custom ID, unless the prefix is `device:` or `profile:`; `custom:` is optional.
    package static func identifier(_ text: String) -> JSONValue {
        for (prefix, field) in [
            ("device:", "installation_id"), ("profile:", "profile_id"), ("custom:", "custom_id"),
        ] where text.hasPrefix(prefix) {
            return .object([.init(field, .string(String(text.dropFirst(prefix.count))))])
        }
        return .object([.init("custom_id", .string(text))])
    }

    /// Parses `email` or `email/offers`.
    package static func channel(_ text: String) throws(UsageError) -> (
        channel: JSONValue, topic: JSONValue?
    ) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard ["email", "sms", "push"].contains(parts[0].lowercased()) else {
            throw UsageError("\(text): expected email, sms or push, with /TOPIC for one topic")
        }
        return (.string(parts[0].uppercased()), parts.count == 2 ? .string(String(parts[1])) : nil)
    }
}
