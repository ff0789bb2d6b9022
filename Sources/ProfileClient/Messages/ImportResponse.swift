/// What became of the operations of a message of `ImportProfiles`.
package struct ImportResponse {
    package let applied: Int
    package let unchanged: Int
    package let rejected: Int
    /// A `Rejection` for each operation that was rejected, in ascending order.
    package let rejections: [JSONValue]

    /// Reads a response.
    ///
    /// - Parameter operations: How many the message had.
    /// - Throws: `RPCFailure` for what is no response to it: nothing is taken for done that the
    ///   server has not counted.
    package init(_ message: [UInt8], of operations: Int) throws(RPCFailure) {
        let json = try ImportRequest.method.decode(message)
        let fields = ["applied", "unchanged", "rejected"].map { json[$0] ?? .number("0") }
        let counts = fields.compactMap(\.integer).compactMap(Int.init(exactly:)).filter {
            (0 ... operations).contains($0)
        }
        guard counts.count == fields.count, counts.reduce(0, +) == operations else {
            let texts = fields.map { $0.text ?? $0.description }
            throw RPCFailure(
                withoutResponse: RPCFailure.internalError,
                "ImportProfiles counted \(texts[0]) applied, \(texts[1]) unchanged and "
                    + "\(texts[2]) rejected operations of \(operations)")
        }
        (self.applied, self.unchanged, self.rejected) = (counts[0], counts[1], counts[2])
        self.rejections = json["rejections"]?.items ?? []
    }
}
