import ProfileClient

/// What one thread calls the service with: the same calls that any client makes, with the key of
/// whoever looks at the page, so that nobody sees more than their key allows.
final class ConsoleClient {
    /// For one call, in milliseconds; counts over millions of profiles take seconds.
    static let callMilliseconds: Int64 = 10_000
    /// For a connection within the process, in milliseconds.
    static let connectMilliseconds: Int64 = 1_000

    private let client: UnaryClient
    private let address: ServerAddress

    init(_ address: ServerAddress) {
        var policy = UnaryClient.RetryPolicy()
        policy.timeoutMilliseconds = Self.callMilliseconds
        self.address = address
        self.client = UnaryClient(address, retryPolicy: policy)
    }

    /// - Parameter key: `nil`: no key is needed.
    /// - Throws: `RPCFailure`, or `MessageJSONError` for a request that does not match its message.
    func call(_ method: RPCMethod, _ request: [(String, JSONValue?)], key: String?) throws
        -> JSONValue
    {
        self.client.key = key
        let request = JSONValue.object(of: request)
        let encoder = MessageEncoder(now: 0)
        do {
            return try self.client.call(method, request, encoder: encoder)
        } catch let failure as RPCFailure
            where !failure.hasResponse && failure.code == RPCFailure.unavailable
        {
            // The service closes connections that were idle for long. No call here changes
            // anything, so it may be made again, on a new one.
            return try self.client.call(method, request, encoder: encoder)
        }
    }

    /// Opens a stream on a connection of its own.
    func stream(_ method: RPCMethod, _ request: [(String, JSONValue?)], key: String?) throws
        -> StreamingCall
    {
        try StreamingCall(
            method, to: self.address, key: key,
            request: try MessageEncoder(now: 0).encode(.object(of: request), as: method.request),
            isLast: true, connectMilliseconds: Self.connectMilliseconds)
    }
}
