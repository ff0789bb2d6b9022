/// A best-effort `BatchWrite` put together from operations that were encoded one by one, so that a
/// bad one is known by itself.
package struct BatchRequest {
    package static let method = RPCMethod.profiles("BatchWrite")
    /// What an operation is encoded as.
    package static let operation = method.request.field(named: "operations")!.message
    /// The contract's limit of operations a call.
    package static let operationsMax = 200

    private var operations = WireOutput()
    package private(set) var count = 0
    private let number = method.request.field(named: "operations")!.number

    package init() {}

    /// Of the operations so far.
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
            preconditionFailure("BatchWrite has lost a field")
        }
        return bytes + self.operations.bytes
    }
}
