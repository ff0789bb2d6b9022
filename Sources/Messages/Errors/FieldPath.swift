/// Where the validation is: pushed and popped on the way, made into text only for a violation.
///
/// A stack in place, so that a request without violations allocates nothing.
struct FieldPath {
    private enum Part {
        case field(StaticString)
        case index(Int)
        /// A name chosen by the client: shown only where it is a well-formed one.
        case key(UnsafeRawBufferPointer, index: Int)
    }

    /// Deepest: `events[0].attributes.a.items[0].b.items[0].c.items[0]` has 12 parts.
    private var parts = InlineArray<16, Part>(repeating: .index(0))
    private var count = 0

    mutating func push(_ field: StaticString) { self.push(.field(field)) }
    mutating func push(index: Int) { self.push(.index(index)) }
    mutating func push(key: UnsafeRawBufferPointer, index: Int) {
        self.push(.key(key, index: index))
    }
    mutating func removeAll() { self.count = 0 }

    mutating func pop() {
        precondition(self.count > 0, "each pop has its push")
        self.count -= 1
    }

    private mutating func push(_ part: Part) {
        self.parts[self.count] = part
        self.count += 1
    }

    /// Such as `events[3].attributes.amount`; with `field` as the last part.
    func text(_ field: StaticString? = nil) -> String {
        var text = ""
        for index in 0 ..< self.count {
            switch self.parts[index] {
            case .field(let name): text += (text.isEmpty ? "" : ".") + name.description
            case .index(let index): text += "[\(index)]"
            case .key(let key, let index):
                text +=
                    TextRules.isName(key)
                    ? ".\(String(decoding: key, as: UTF8.self))" : "[\(index)]"
            }
        }
        if let field { text += (text.isEmpty ? "" : ".") + field.description }
        return text
    }
}
