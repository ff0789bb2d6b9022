// Requests of the workload are written as literals: less to read than texts, and no parsing.

import ProfileClient

extension JSONValue: ExpressibleByStringInterpolation {
    package init(stringLiteral value: String) { self = .string(value) }
}

extension JSONValue: ExpressibleByIntegerLiteral {
    package init(integerLiteral value: Int) { self = .number(String(value)) }
}

extension JSONValue: ExpressibleByBooleanLiteral {
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSONValue: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
}

extension JSONValue: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { JSONMember($0, $1) })
    }
}

extension JSONValue {
    /// A number.
    static func of(_ number: some BinaryInteger) -> JSONValue { .number(String(number)) }

    /// An object with more members behind its own.
    func adding(_ members: [(String, JSONValue?)]) -> JSONValue {
        .object(
            self.members
                + members.compactMap { name, value in
                    value.map { JSONMember(name, $0) }
                })
    }

    /// The unsigned number that it is, or 0: proto3 JSON leaves zeros out.
    var count: UInt64 { UInt64(clamping: self.integer ?? 0) }
}

extension JSONValue? {
    /// The unsigned number, or 0 if there is none.
    var count: UInt64 { self?.count ?? 0 }
}
