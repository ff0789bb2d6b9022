extension RPCMethod {
    /// A message of a response as JSON.
    ///
    /// - Throws: `unexpectedFormat` for bytes that are no such message.
    package func decode(_ response: [UInt8]) throws(RPCFailure) -> JSONValue {
        guard let json = MessageJSON.decode(response, as: self.response) else {
            throw self.unexpectedFormat
        }
        return json
    }

    /// The failure of a response that is not in the form of its method.
    package var unexpectedFormat: RPCFailure {
        RPCFailure(
            withoutResponse: RPCFailure.internalError,
            "the response of \(self.path) has an unexpected format")
    }
}
