/// The network that a connection comes from, as far as its budgets are concerned: an IPv4 address,
/// or the first 64 bits of an IPv6 address, of which a single host has as many as it likes.
package struct PeerAddress: Hashable, Sendable {
    private enum Family: Hashable {
        case ipv4, ipv6
    }

    private let family: Family
    /// IPv4: the address; IPv6: its first 64 bits.
    private let prefix: UInt64

    /// Reads what a socket says of its peer, such as `127.0.0.1:50123` or `[2001:db8::1]:443`;
    /// whatever is neither counts as one peer.
    package init(_ peer: String) {
        if let four = Self.ipv4(peer.prefix { $0 != ":" }) {
            self.init(.ipv4, four)
        } else {
            let address = peer.dropFirst().prefix { $0 != "]" && $0 != "%" }
            // An IPv4 address in the form of IPv6: `::ffff:192.0.2.1`.
            if let last = address.split(separator: ":").last, let four = Self.ipv4(last) {
                self.init(.ipv4, four)
            } else {
                self.init(.ipv6, Self.ipv6Prefix(address))
            }
        }
    }

    private init(_ family: Family, _ prefix: UInt64) {
        self.family = family
        self.prefix = prefix
    }

    private static func ipv4(_ text: Substring) -> UInt64? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard let byte = UInt8(part) else { return nil }
            value = value << 8 | UInt64(byte)
        }
        return value
    }

    /// The first four groups of an address in its usual text form.
    private static func ipv6Prefix(_ text: Substring) -> UInt64 {
        // `::` stands for the groups of zeros that are missing, wherever it is.
        let separator = "::"
        let head: Substring
        var tail: Substring = ""
        if let range = text.firstRange(of: separator) {
            head = text[..<range.lowerBound]
            tail = text[range.upperBound...]
        } else {
            head = text
        }
        var groups = head.split(separator: ":").map { UInt64($0, radix: 16) ?? 0 }
        let last = tail.split(separator: ":").map { UInt64($0, radix: 16) ?? 0 }
        while groups.count + last.count < 8 { groups.append(0) }
        groups += last
        return groups.prefix(4).reduce(0) { $0 << 16 | $1 & 0xFFFF }
    }
}
