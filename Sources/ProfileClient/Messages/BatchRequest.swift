/// A best-effort `BatchWrite` composed of operations that are encoded one by one, so that an
/// invalid one can be reported separately.
package struct BatchRequest {
    package static let method = RPCMethod.profiles("BatchWrite")
    /// The schema of one operation.
    package static let operation = method.request.field(named: "operations")!.message
    /// The contract's limit of operations per call.
    package static let operationsMax = 200

    private var operations = WireOutput()
    package private(set) var count = 0
    private let number = method.request.field(named: "operations")!.number

    package init() {}

    /// Encoded bytes of the operations so far.
    package var bytes: Int { self.operations.bytes.count }

    /// - Parameter operation: One `WriteOperation`.
    package mutating func append(_ operation: [UInt8]) {
        self.operations.lengthDelimited(self.number, operation)
        self.count += 1
    }

    /// The whole request.
    package func message(project: String, requestID: String) -> [UInt8] {
        let head = JSONValue.object(of: [
            ("project", .string(project)), ("request_id", .string(requestID)),
            ("best_effort", .bool(true)),
        ])
        guard let bytes = try? MessageEncoder(now: 0).encode(head, as: Self.method.request) else {
            preconditionFailure("BatchWriteRequest lacks an expected field")
        }
        return bytes + self.operations.bytes
    }
}
