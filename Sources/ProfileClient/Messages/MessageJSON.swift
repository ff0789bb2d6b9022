import CProtobufC

/// Converts the wire format of a message to proto3 JSON with the contract's field names, guided by
/// its schema.
///
/// Integers beyond 2^53, which JSON parsers of scripts may round, are strings; so are NaN and the
/// infinities. A time outside of the range of `google.protobuf.Timestamp` becomes the string
/// `invalid timestamp (seconds=..., nanos=...)`, so that one bad value does not hide the others.
package enum MessageJSON {
    /// Deepest nesting of messages, as other implementations of protobuf limit it: a few kilobytes
    /// could otherwise exhaust the stack.
    static let depthMax = 100

    /// - Returns: `nil` if the bytes are not a valid message, or are nested deeper than
    ///   `depthMax`. Fields that the schema does not know are omitted.
    package static func decode(_ bytes: some Collection<UInt8>, as schema: MessageSchema)
        -> JSONValue?
    {
        self.message(ArraySlice(bytes), schema, depth: 0)
    }

    private static func message(_ bytes: ArraySlice<UInt8>, _ schema: MessageSchema, depth: Int)
        -> JSONValue?
    {
        guard depth < self.depthMax, let fields = self.fields(bytes, schema, depth: depth) else {
            return nil
        }
        switch schema.name {
        case "google.protobuf.Timestamp":
            return .string(
                TimeText.text(
                    seconds: fields.first { $0.name == "seconds" }?.value.integer ?? 0,
                    nanoseconds: fields.first { $0.name == "nanos" }?.value.integer ?? 0))
        case "google.protobuf.StringValue": return fields.first?.value ?? .string("")
        case "google.protobuf.UInt64Value": return fields.first?.value ?? .number("0")
        default: return .object(fields)
        }
    }

    private static func fields(_ bytes: ArraySlice<UInt8>, _ schema: MessageSchema, depth: Int)
        -> [JSONValue.JSONMember]?
    {
        var input = WireInput(bytes)
        var singles: [UInt32: JSONValue] = [:]
        var lists: [UInt32: [JSONValue]] = [:]
        var maps: [UInt32: [JSONValue.JSONMember]] = [:]
        let known = schema.fields
        while !input.isEmpty {
            guard let tag = input.varint() else { return nil }
            let wireType = UInt8(tag & 7)
            guard let field = known.first(where: { UInt64($0.number) == tag >> 3 }) else {
                guard input.skip(wireType) else { return nil }
                continue
            }
            if field.isRepeated, wireType == 2, self.isPackable(field.type) {
                guard let packed = input.lengthDelimited() else { return nil }
                var elements = WireInput(packed)
                while !elements.isEmpty {
                    guard
                        let value = self.value(
                            &elements, field, self.wireType(field.type), depth: depth)
                    else {
                        return nil
                    }
                    lists[field.number, default: []].append(value)
                }
                continue
            }
            guard let value = self.value(&input, field, wireType, depth: depth) else {
                return nil
            }
            if !field.isRepeated {
                singles[field.number] = value
            } else if field.type == PROTOBUF_C_TYPE_MESSAGE, field.message.isMapEntry {
                let key = value["key"]?.text ?? value["key"]?.description ?? ""
                maps[field.number, default: []].append(
                    .init(key, value["value"] ?? self.absent(in: field.message)))
            } else {
                lists[field.number, default: []].append(value)
            }
        }
        return known.compactMap { field in
            let map = maps[field.number].map { JSONValue.object(self.sorted($0)) }
            return (singles[field.number] ?? lists[field.number].map(JSONValue.array) ?? map).map {
                .init(field.name, $0)
            }
        }
    }

    /// The entries of a map by name; of several with one name the last, as protobuf demands.
    private static func sorted(_ entries: [JSONValue.JSONMember]) -> [JSONValue.JSONMember] {
        let ordered = entries.enumerated().sorted {
            ($0.element.name, $0.offset) < ($1.element.name, $1.offset)
        }
        var members: [JSONValue.JSONMember] = []
        for (_, entry) in ordered {
            // By bytes, since Swift takes different spellings of one text for equal.
            if let last = members.last, last.name.utf8.elementsEqual(entry.name.utf8) {
                members.removeLast()
            }
            members.append(entry)
        }
        return members
    }

    /// The default value of a map entry without a value.
    private static func absent(in entry: MessageSchema) -> JSONValue {
        switch entry.field(number: 2)!.type {
        case PROTOBUF_C_TYPE_STRING: .string("")
        case PROTOBUF_C_TYPE_MESSAGE: .object([])
        default: .number("0")
        }
    }

    private static func isPackable(_ type: ProtobufCType) -> Bool {
        type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES
            && type != PROTOBUF_C_TYPE_MESSAGE
    }

    private static func wireType(_ type: ProtobufCType) -> UInt8 {
        switch type {
        case PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_BYTES, PROTOBUF_C_TYPE_MESSAGE: 2
        case PROTOBUF_C_TYPE_DOUBLE: 1
        default: 0
        }
    }

    private static func value(
        _ input: inout WireInput, _ field: MessageSchema.Field, _ wireType: UInt8, depth: Int
    ) -> JSONValue? {
        guard wireType == self.wireType(field.type) else { return nil }
        switch field.type {
        case PROTOBUF_C_TYPE_STRING:
            return input.lengthDelimited().map { .string(String(decoding: $0, as: UTF8.self)) }
        case PROTOBUF_C_TYPE_BYTES:
            return input.lengthDelimited().map { .string(Base64Text.encode($0)) }
        case PROTOBUF_C_TYPE_MESSAGE:
            return input.lengthDelimited().flatMap {
                self.message($0, field.message, depth: depth + 1)
            }
        case PROTOBUF_C_TYPE_DOUBLE:
            return input.fixed(bytes: 8).map { self.number(Double(bitPattern: $0)) }
        case PROTOBUF_C_TYPE_BOOL: return input.varint().map { .bool($0 != 0) }
        case PROTOBUF_C_TYPE_ENUM:
            guard let raw = input.varint() else { return nil }
            let number = Int32(truncatingIfNeeded: raw)
            return field.cases.first { $0.number == number }.map { .string($0.name) }
                ?? .number(String(number))
        case PROTOBUF_C_TYPE_INT32, PROTOBUF_C_TYPE_INT64:
            return input.varint().map {
                self.whole(
                    String(Int64(bitPattern: $0)), magnitude: Int64(bitPattern: $0).magnitude)
            }
        default: return input.varint().map { self.whole(String($0), magnitude: $0) }
        }
    }

    private static func whole(_ digits: String, magnitude: UInt64) -> JSONValue {
        magnitude <= 1 << 53 ? .number(digits) : .string(digits)
    }

    private static func number(_ value: Double) -> JSONValue {
        guard value.isFinite else {
            return .string(value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity")
        }
        return .number(value.description)
    }
}
