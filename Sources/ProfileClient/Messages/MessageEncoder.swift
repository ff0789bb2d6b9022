import CProtobufC

/// Why a JSON value does not match a message: the path, and what is expected there.
package struct MessageJSONError: Error, Equatable {
    /// Such as `events[3].attributes.amount`; empty: the message itself.
    package let path: String
    package let reason: String

    package init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }
}

/// Converts JSON to the wire format of a message, guided by its schema.
///
/// Accepts proto3 JSON with field names in either form, and three extensions: a
/// `profiles.v1.Value` may be plain JSON (`"red"`, `3`, `["a"]`), an enum value may omit its prefix
/// and be in lower case (`email`), and `"ago": "3h"` may replace `occurred_at`.
package struct MessageEncoder {
    /// The time that `ago` is relative to, in microseconds since 1970.
    private let now: Int64

    package init(now: Int64) {
        self.now = now
    }

    /// - Throws: `MessageJSONError` for the first value that does not match the schema.
    package func encode(_ json: JSONValue, as schema: MessageSchema) throws(MessageJSONError)
        -> [UInt8]
    {
        try self.message(json, schema, "")
    }

    private func fail(_ path: String, _ reason: String) -> MessageJSONError {
        MessageJSONError(path: path, reason: reason)
    }

    private func message(_ json: JSONValue, _ schema: MessageSchema, _ path: String)
        throws(MessageJSONError) -> [UInt8]
    {
        switch schema.name {
        case "google.protobuf.Timestamp": return try self.timestamp(json, path)
        case "google.protobuf.StringValue", "google.protobuf.UInt64Value":
            var output = WireOutput()
            try self.single(json, schema.field(number: 1)!, path, &output)
            return output.bytes
        case "google.protobuf.FieldMask":
            var output = WireOutput()
            guard let text = json.text else {
                throw self.fail(path, "expected a string of comma-separated paths")
            }
            for part in text.split(separator: ",") { output.lengthDelimited(1, Array(part.utf8)) }
            return output.bytes
        case "profiles.v1.Value": return try self.fields(Self.explicitValue(json), schema, path)
        default: return try self.fields(json, schema, path)
        }
    }

    private func fields(_ json: JSONValue, _ schema: MessageSchema, _ path: String)
        throws(MessageJSONError) -> [UInt8]
    {
        guard case .object(let members) = json else { throw self.fail(path, "expected an object") }
        var output = WireOutput()
        for member in members where member.value != .null {
            let inner = path.isEmpty ? member.name : "\(path).\(member.name)"
            if let field = schema.field(named: member.name) {
                try self.field(member.value, field, inner, &output)
            } else if member.name == "ago", let field = schema.field(named: "occurred_at") {
                guard let text = member.value.text, let span = TimeText.span(text) else {
                    throw self.fail(inner, "expected a span such as 90s, 5m, 3h or 2d")
                }
                output.lengthDelimited(field.number, Self.timestamp(microseconds: self.now - span))
            } else {
                throw self.fail(
                    inner,
                    "unknown field; known are \(schema.fields.map(\.name).joined(separator: ", "))")
            }
        }
        return output.bytes
    }

    private func field(
        _ json: JSONValue, _ field: MessageSchema.Field, _ path: String, _ output: inout WireOutput
    ) throws(MessageJSONError) {
        guard field.isRepeated else { return try self.single(json, field, path, &output) }
        if field.type == PROTOBUF_C_TYPE_MESSAGE, field.message.isMapEntry {
            guard case .object(let members) = json else {
                throw self.fail(path, "expected an object")
            }
            let (key, value) = (field.message.field(number: 1)!, field.message.field(number: 2)!)
            for member in members {
                var entry = WireOutput()
                try self.single(.string(member.name), key, path, &entry)
                try self.single(member.value, value, "\(path).\(member.name)", &entry)
                output.lengthDelimited(field.number, entry.bytes)
            }
            return
        }
        guard case .array(let items) = json else { throw self.fail(path, "expected an array") }
        // Numbers are not packed either: parsers must accept both forms, and the contract's
        // repeated fields are short.
        for (index, item) in items.enumerated() {
            try self.single(item, field, "\(path)[\(index)]", &output)
        }
    }

    private func single(
        _ json: JSONValue, _ field: MessageSchema.Field, _ path: String, _ output: inout WireOutput
    ) throws(MessageJSONError) {
        switch field.type {
        case PROTOBUF_C_TYPE_STRING:
            guard let text = json.text else { throw self.fail(path, "expected a string") }
            output.lengthDelimited(field.number, Array(text.utf8))
        case PROTOBUF_C_TYPE_BYTES:
            guard let text = json.text, let bytes = Base64Text.decode(text) else {
                throw self.fail(path, "expected base64")
            }
            output.lengthDelimited(field.number, bytes)
        case PROTOBUF_C_TYPE_MESSAGE:
            output.lengthDelimited(field.number, try self.message(json, field.message, path))
        case PROTOBUF_C_TYPE_DOUBLE:
            guard let value = Self.double(json) else { throw self.fail(path, "expected a number") }
            output.tag(field.number, 1)
            output.fixed(value.bitPattern)
        default:
            guard let value = try self.varint(json, field, path) else {
                throw self.fail(path, "expected \(Self.kind(field.type))")
            }
            output.tag(field.number, 0)
            output.varint(value)
        }
    }

    private func varint(_ json: JSONValue, _ field: MessageSchema.Field, _ path: String)
        throws(MessageJSONError) -> UInt64?
    {
        switch field.type {
        case PROTOBUF_C_TYPE_BOOL:
            guard case .bool(let value) = json else { return nil }
            return value ? 1 : 0
        case PROTOBUF_C_TYPE_ENUM:
            let cases = field.cases
            guard let value = Self.enumNumber(json, cases) else {
                throw self.fail(
                    path, "expected one of \(cases.dropFirst().map(\.name).joined(separator: ", "))"
                )
            }
            return UInt64(bitPattern: Int64(value))
        case PROTOBUF_C_TYPE_INT64: return json.integer.map { UInt64(bitPattern: $0) }
        case PROTOBUF_C_TYPE_INT32:
            return json.integer.flatMap { Int32(exactly: $0) }.map { UInt64(bitPattern: Int64($0)) }
        case PROTOBUF_C_TYPE_UINT32:
            return json.integer.flatMap { UInt32(exactly: $0) }.map { UInt64($0) }
        case PROTOBUF_C_TYPE_UINT64:
            switch json {
            case .number(let digits), .string(let digits): return UInt64(digits)
            default: return nil
            }
        default: preconditionFailure("the contract has no field of type \(field.type)")
        }
    }

    private static func kind(_ type: ProtobufCType) -> String {
        switch type {
        case PROTOBUF_C_TYPE_BOOL: "true or false"
        case PROTOBUF_C_TYPE_UINT32, PROTOBUF_C_TYPE_UINT64: "a non-negative integer"
        default: "an integer"
        }
    }

    /// A number, or one of the three that proto3 JSON writes as strings; the server rejects those
    /// with a specific error.
    private static func double(_ json: JSONValue) -> Double? {
        switch json {
        case .number(let digits): Double(digits)
        case .string("NaN"): .nan
        case .string("Infinity"): .infinity
        case .string("-Infinity"): -.infinity
        default: nil
        }
    }

    /// Finds an enum case by its full name, its number, or its name without the prefix that all
    /// cases share; names are case-insensitive.
    private static func enumNumber(_ json: JSONValue, _ cases: [(name: String, number: Int32)])
        -> Int32?
    {
        if let number = json.integer { return Int32(exactly: number) }
        guard let text = json.text?.uppercased() else { return nil }
        let unspecified = "UNSPECIFIED"
        let prefix =
            cases.first.map {
                $0.name.hasSuffix(unspecified) ? String($0.name.dropLast(unspecified.count)) : ""
            } ?? ""
        return cases.first { $0.name == text || $0.name == prefix + text }?.number
    }

    private func timestamp(_ json: JSONValue, _ path: String) throws(MessageJSONError) -> [UInt8] {
        guard let text = json.text, let microseconds = TimeText.parse(text) else {
            throw self.fail(path, "expected a time such as 2026-01-31T12:00:00Z")
        }
        return Self.timestamp(microseconds: microseconds)
    }

    private static func timestamp(microseconds: Int64) -> [UInt8] {
        var output = WireOutput()
        let (seconds, fraction) = TimeText.floorDivide(microseconds, by: 1_000_000)
        output.tag(1, 0)
        output.varint(UInt64(bitPattern: seconds))
        if fraction > 0 {
            output.tag(2, 0)
            output.varint(UInt64(fraction * 1_000))
        }
        return output.bytes
    }

    /// The kinds of `profiles.v1.Value`.
    private static let valueKinds: Set<String> = [
        "string", "integer", "number", "boolean", "time", "url", "list", "object", "objects",
    ]

    /// Converts plain JSON to the explicit form of a Value. An object with a single member that is
    /// named like a kind is of that kind; any other is an `object`.
    private static func explicitValue(_ json: JSONValue) -> JSONValue {
        func kind(_ name: String, _ value: JSONValue) -> JSONValue { .object([.init(name, value)]) }
        switch json {
        case .string: return kind("string", json)
        case .bool: return kind("boolean", json)
        case .number(let digits): return kind(Int64(digits) == nil ? "number" : "integer", json)
        case .null: return .object([])
        case .array(let items):
            let areObjects =
                !items.isEmpty && items.allSatisfy { if case .object = $0 { true } else { false } }
            guard areObjects else { return kind("list", .object([.init("items", json)])) }
            return kind(
                "objects",
                .object([.init("items", .array(items.map { .object([.init("fields", $0)]) }))]))
        case .object(let members):
            if members.count == 1, valueKinds.contains(members[0].name) { return json }
            return kind("object", .object([.init("fields", json)]))
        }
    }
}
