// Two texts of one address must be one value: which endpoints collide, and which are on loopback,
// is decided by comparing them.

/// Where to listen: an IP address and a port.
package struct Endpoint: Equatable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 literal in its canonical form (RFC 5952), without brackets. An IPv4-mapped
    /// address (`::ffff:127.0.0.1`) is the IPv4 address that it means.
    package let host: String
    /// 0 lets the kernel choose.
    package let port: UInt16
    /// Whether only this machine can reach it: 127.0.0.0/8 or `::1`.
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
            // A socket for IPv6 alone, which every socket here is but that of `::`, cannot listen
            // at such an address.
            let isMappedVersion4 = groups[..<5].allSatisfy { $0 == 0 } && groups[5] == 0xFFFF
            self.host =
                isMappedVersion4 ? IPLiteral.text(mapped: groups) : IPLiteral.text(version6: groups)
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

    /// Whether it means every address of the machine; `::` includes those of IPv4.
    private var isWildcard: Bool { self.host == "::" || self.host == "0.0.0.0" }

    /// Whether both cannot listen at the same time: one port, and an address in common.
    package func overlaps(_ other: Endpoint) -> Bool {
        guard self.port == other.port, self.port != 0 else { return false }
        if self.host == other.host || self.host == "::" || other.host == "::" { return true }
        // "0.0.0.0" leaves the IPv6 addresses to others.
        let isSameFamily = self.host.contains(":") == other.host.contains(":")
        return isSameFamily && (self.isWildcard || other.isWildcard)
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}
