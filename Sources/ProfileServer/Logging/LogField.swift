/// One named value of a log line.
///
/// The name is a literal, so that a client can never choose the keys of a line. Values never
/// contain client data (ids, attributes, addresses of people); the only data about a client that is
/// allowed is its network address.
package struct LogField: Sendable {
    package enum Value: Sendable, Equatable {
        case text(String)
        case integer(Int64)
        case unsigned(UInt64)
        case number(Double)
        case boolean(Bool)
    }

    package let name: StaticString
    package let value: Value

    package init(_ name: StaticString, _ value: String) {
        self.name = name
        self.value = .text(value)
    }

    package init(_ name: StaticString, _ value: Int) {
        self.name = name
        self.value = .integer(Int64(value))
    }

    package init(_ name: StaticString, _ value: UInt64) {
        self.name = name
        self.value = .unsigned(value)
    }

    package init(_ name: StaticString, _ value: Double) {
        self.name = name
        self.value = .number(value)
    }

    package init(_ name: StaticString, _ value: Bool) {
        self.name = name
        self.value = .boolean(value)
    }
}
