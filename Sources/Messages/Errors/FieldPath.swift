/// Where the validation is: pushed and popped on the way, made into text only for a violation.
///
/// Keeps its storage, so that a request without violations allocates nothing.
struct FieldPath {
    private enum Part {
        case field(StaticString)
        case index(Int)
        /// A name chosen by the client: shown only where it is a well-formed one.
        case key(UnsafeRawBufferPointer, index: Int)
    }

    private var parts: [Part] = []

    init() {
        self.parts.reserveCapacity(16)
    }

    mutating func push(_ field: StaticString) { self.parts.append(.field(field)) }
    mutating func push(index: Int) { self.parts.append(.index(index)) }
    mutating func push(key: UnsafeRawBufferPointer, index: Int) { self.parts.append(.key(key, index: index)) }
    mutating func pop() { self.parts.removeLast() }
    mutating func removeAll() { self.parts.removeAll(keepingCapacity: true) }

    /// Such as `events[3].attributes.amount`; with `field` as the last part.
    func text(_ field: StaticString? = nil) -> String {
        var text = ""
        for part in self.parts {
            switch part {
            case .field(let name): text += (text.isEmpty ? "" : ".") + name.description
            case .index(let index): text += "[\(index)]"
            case .key(let key, let index):
                text += TextRules.isName(key) ? ".\(String(decoding: key, as: UTF8.self))" : "[\(index)]"
            }
        }
        if let field { text += (text.isEmpty ? "" : ".") + field.description }
        return text
    }
}
