/// Why a call failed.
package struct RPCFailure: Error, Equatable {
    /// One invalid field of the request.
    package struct Violation: Equatable, Sendable {
        /// Such as `events[0].attributes.amount`.
        package let field: String
        package let description: String
    }

    /// A gRPC status code.
    package let code: Int32
    package let message: String
    /// Of `google.rpc.ErrorInfo`, such as `USER_UNSUBSCRIBED`; empty if there is none.
    package private(set) var reason = ""
    package private(set) var metadata: [String: String] = [:]
    package private(set) var violations: [Violation] = []
    /// Whether the server responded at all.
    package let hasResponse: Bool

    package static let deadlineExceeded: Int32 = 4
    package static let unimplemented: Int32 = 12
    package static let unavailable: Int32 = 14

    /// A failure without a response: no connection, or no response in time.
    package init(withoutResponse code: Int32, _ message: String) {
        self.code = code
        self.message = message
        self.hasResponse = false
    }

    /// From a received `google.rpc.Status` as JSON, such as the `error` of an item of a batch.
    package init(status: JSONValue) {
        self.code = Int32(truncatingIfNeeded: status["code"]?.integer ?? 2)
        self.message = status["message"]?.text ?? ""
        self.hasResponse = true
        for detail in status["details"]?.items ?? [] {
            self.read(
                type: detail["type_url"]?.text ?? "",
                Base64Text.decode(detail["value"]?.text ?? "") ?? [])
        }
    }

    /// From the trailers of a call.
    init(code: Int32, message: String, details: String) {
        let bytes = Base64Text.decode(details) ?? []
        let known = bytes.isEmpty ? nil : MessageJSON.decode(bytes, as: .status)
        self.init(
            status: known
                ?? .object(of: [
                    ("code", .number(String(code))),
                    ("message", .string(Self.percentDecoded(message))),
                ]))
    }

    private mutating func read(type: String, _ bytes: [UInt8]) {
        if type.hasSuffix("/google.rpc.ErrorInfo"),
            let found = MessageJSON.decode(bytes, as: .errorInfo)
        {
            self.reason = found["reason"]?.text ?? ""
            for member in found["metadata"]?.members ?? [] {
                self.metadata[member.name] = member.value.text
            }
        } else if type.hasSuffix("/google.rpc.BadRequest"),
            let found = MessageJSON.decode(bytes, as: .badRequest)
        {
            self.violations += (found["field_violations"]?.items ?? []).map {
                Violation(
                    field: $0["field"]?.text ?? "", description: $0["description"]?.text ?? "")
            }
        }
    }

    /// `grpc-message` is percent-encoded UTF-8.
    private static func percentDecoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = ArraySlice(Array(text.utf8))
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"),
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The name of a gRPC status code.
    package static func name(of code: Int32) -> String {
        let names = [
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
            "ALREADY_EXISTS", "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
            "INTERNAL", "UNAVAILABLE",
            "DATA_LOSS", "UNAUTHENTICATED",
        ]
        return names.indices.contains(Int(code)) ? names[Int(code)] : "status \(code)"
    }
}
