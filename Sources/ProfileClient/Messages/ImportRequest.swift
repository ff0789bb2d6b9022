/// A message of `ImportProfiles`, composed of operations that are encoded one by one, so that an
/// invalid one can be reported separately.
package struct ImportRequest {
    package static let method = RPCMethod.profiles("ImportProfiles")
    /// The schema of one operation.
    package static let operation = method.request.field(named: "operations")!.message
    /// The rejections that a response lists: no message has more operations, so that each rejected
    /// line is named.
    package static let operationsMax = 1_000

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

    /// The operations as they stand in the message.
    var encodedOperations: [UInt8] { self.operations.bytes }

    /// The whole message.
    package func message(project: String, chunkID: String, isDryRun: Bool) -> [UInt8] {
        let head = JSONValue.object(of: [
            ("project", .string(project)), ("chunk_id", .string(chunkID)),
            ("validate_only", .bool(isDryRun)),
        ])
        guard let bytes = try? MessageEncoder(now: 0).encode(head, as: Self.method.request) else {
            preconditionFailure("ImportProfilesRequest lacks an expected field")
        }
        return bytes + self.operations.bytes
    }
}
