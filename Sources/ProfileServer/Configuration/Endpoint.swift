/// Where to listen: an IP address and a port.
package struct Endpoint: Equatable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 literal, without brackets.
    package let host: String
    /// 0 lets the kernel choose.
    package let port: UInt16
    /// Whether only this machine can reach it: 127.0.0.0/8, its IPv4-mapped form, or `::1`.
    package let isLoopback: Bool

    /// What `init` accepts, for error texts.
    package static let allowed =
        "ADDRESS:PORT with an IPv4 address, an IPv6 address in brackets or localhost, port "
        + "0...65535"

    /// Reads `127.0.0.1:50051`, `[::1]:0` or `localhost:50051`; `nil` for anything else, including
    /// other names.
    ///
    /// `localhost` becomes 127.0.0.1 here, so that it means this machine whatever the hosts file
    /// says.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let host = text[..<colon]
        guard let port = DecimalNumber.parse(text[text.index(after: colon)...], max: 65_535) else {
            return nil
        }
        if host.hasPrefix("[") && host.hasSuffix("]") {
            let literal = host.dropFirst().dropLast()
            guard let groups = IPLiteral.version6(literal) else { return nil }
            self.host = literal.lowercased()
            let isMappedVersion4 = groups[..<5].allSatisfy { $0 == 0 } && groups[5] == 0xFFFF
            self.isLoopback =
                groups == [0, 0, 0, 0, 0, 0, 0, 1] || (isMappedVersion4 && groups[6] >> 8 == 127)
        } else {
            let literal = host == "localhost" ? "127.0.0.1" : host
            guard let bytes = IPLiteral.version4(literal) else { return nil }
            self.host = String(literal)
            self.isLoopback = bytes[0] == 127
        }
        self.port = UInt16(port)
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}
