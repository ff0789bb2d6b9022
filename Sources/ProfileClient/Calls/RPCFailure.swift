import Glibc

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

    package static let unknown: Int32 = 2
    package static let invalidArgument: Int32 = 3
    package static let deadlineExceeded: Int32 = 4
    package static let permissionDenied: Int32 = 7
    package static let resourceExhausted: Int32 = 8
    package static let unimplemented: Int32 = 12
    package static let internalError: Int32 = 13
    package static let unavailable: Int32 = 14

    /// A failure without a response: no connection, or no response in time.
    package init(withoutResponse code: Int32, _ message: String) {
        self.code = code
        self.message = message
        self.hasResponse = false
    }

    /// A connection that cannot be made, or has failed.
    init(_ error: ClientError, reaching address: ServerAddress) {
        let text =
            switch error {
            case .socket(_, let errno):
                "cannot reach \(address): \(String(cString: strerror(errno)))"
            case .tls(let reason): "cannot reach \(address): TLS: \(reason)"
            case .unknownHost: "cannot reach \(address): no such host"
            case .closed:
                "cannot reach \(address): the connection was closed (is that the service's gRPC "
                    + "port?)"
            }
        self.init(withoutResponse: Self.unavailable, text)
    }

    /// From a received `google.rpc.Status` as JSON, such as the `error` of an item of a batch.
    package init(status: JSONValue) {
        let code = status["code"]?.integer.flatMap(Int32.init(exactly:))
        self.init(status: status, code: code ?? Self.unknown)
    }

    private init(status: JSONValue, code: Int32) {
        self.code = code
        self.message = status["message"]?.text ?? ""
        self.hasResponse = true
        for detail in status["details"]?.items ?? [] {
            self.read(
                type: detail["type_url"]?.text ?? "",
                Base64Text.decode(detail["value"]?.text ?? "") ?? [])
        }
    }

    /// From the trailers of a call.
    ///
    /// - Parameters:
    ///   - message: `grpc-message` as received.
    ///   - details: `grpc-status-details-bin` as received. Ignored unless it is a
    ///     `google.rpc.Status` with the code of the trailers: a server or proxy that sends two
    ///     different codes has not described this failure.
    package init(code: Int32, message: String, details: String) {
        let bytes = Base64Text.decode(details) ?? []
        if !bytes.isEmpty, let known = MessageJSON.decode(bytes, as: .status),
            (known["code"]?.integer ?? 0) == Int64(code)
        {
            self.init(status: known, code: code)
        } else {
            let text = JSONValue.string(Self.percentDecoded(message))
            self.init(status: .object(of: [("message", text)]), code: code)
        }
    }

    /// A gRPC status code from its trailer: decimal digits only. UNKNOWN (2) for anything else, as
    /// gRPC's HTTP mapping demands; `Int32` alone would take `+0` for OK.
    static func code(trailer: UnsafeRawBufferPointer) -> Int32 {
        guard !trailer.isEmpty, trailer.allSatisfy({ (0x30 ... 0x39).contains($0) }) else {
            return self.unknown
        }
        return Int32(String(decoding: trailer, as: UTF8.self)) ?? self.unknown
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

    /// `grpc-message` is percent-encoded UTF-8; a `%` without two hexadecimal digits is kept.
    private static func percentDecoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = ArraySlice(Array(text.utf8))
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2).compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
            if byte == UInt8(ascii: "%"), digits.count == 2 {
                bytes.append(UInt8(digits[0] << 4 | digits[1]))
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
