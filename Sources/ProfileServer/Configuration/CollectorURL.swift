/// Where spans are sent: `http://ADDRESS:PORT`, or with a path.
package struct CollectorURL: Equatable, Sendable, CustomStringConvertible {
    package let endpoint: Endpoint
    /// Begins with a slash.
    package let path: String

    /// Where a collector takes traces unless its URL says otherwise.
    ///
    /// - Source: OpenTelemetry, "OTLP/HTTP request".
    private static let defaultPath = "/v1/traces"
    private static let scheme = "http://"
    private static let pathBytesMax = 256

    /// What `init` accepts, for error texts.
    package static let allowed =
        "http://ADDRESS:PORT with an IPv4 address, an IPv6 address in brackets or localhost, port"
        + " 1...65535; a path of up to \(CollectorURL.pathBytesMax) bytes may follow"

    /// Reads a URL; `nil` for anything else, including `https` and names, which need what this
    /// server does not have: a collector beside it takes both off its hands.
    package init?(_ text: String) {
        guard text.hasPrefix(Self.scheme) else { return nil }
        let rest = text.dropFirst(Self.scheme.count)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        guard let endpoint = Endpoint(String(authority)), endpoint.port > 0,
            path.utf8.count <= Self.pathBytesMax,
            path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") })
        else { return nil }
        self.endpoint = endpoint
        self.path = path.isEmpty || path == "/" ? Self.defaultPath : String(path)
    }

    package var description: String { "\(Self.scheme)\(self.endpoint)\(self.path)" }
}
