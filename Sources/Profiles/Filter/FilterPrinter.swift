/// Writes an expression in its canonical form: every `AND`, no superfluous parentheses, fields in
/// lower case and texts in double quotes. Parsing it gives the same expression.
enum FilterPrinter {
    static func text(_ expression: FilterExpression) -> String {
        switch expression {
        case .all: ""
        case .comparison(let comparison): self.text(comparison)
        case .not(let item): "NOT \(self.simple(item))"
        case .and(let items):
            // `OR` binds tighter, so it needs no parentheses here.
            items.map { self.text($0) }.joined(separator: " AND ")
        case .or(let items): items.map { self.term($0) }.joined(separator: " OR ")
        }
    }

    private static func term(_ item: FilterExpression) -> String {
        if case .not = item { return self.text(item) }
        return self.simple(item)
    }

    private static func simple(_ item: FilterExpression) -> String {
        if case .comparison = item { return self.text(item) }
        return "(\(self.text(item)))"
    }

    private static func text(_ comparison: FilterComparison) -> String {
        let constant = self.text(comparison.constant, of: comparison.field.kind)
        if comparison.field == .anywhere { return constant }
        let comparator = comparison.comparator
        return comparator == .has
            ? "\(comparison.field.text):\(constant)"
            : "\(comparison.field.text) \(comparator.text) \(constant)"
    }

    private static func text(_ constant: FilterConstant, of kind: FilterField.Kind) -> String {
        switch constant {
        case .anything: return "*"
        case .integer(let integer): return "\(integer)"
        case .number(let number): return "\(number)"
        case .boolean(let boolean): return "\(boolean)"
        case .text(let text):
            if kind == .state || kind == .subscription {
                return String(decoding: text.bytes, as: UTF8.self)
            }
            return self.quoted(text)
        }
    }

    private static func quoted(_ text: FilterText) -> String {
        var quoted = text.isOpenAtStart ? "\"*" : "\""
        let scalars = Array(String(decoding: text.bytes, as: UTF8.self).unicodeScalars)
        for (index, scalar) in scalars.enumerated() {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            // At an end a star would stand for anything.
            case "*" where index == 0 || index == scalars.count - 1: quoted += "\\*"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + (text.isOpenAtEnd ? "*\"" : "\"")
    }
}
