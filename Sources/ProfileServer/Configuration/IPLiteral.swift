// Addresses are parsed here, without the resolver, so that a name server cannot decide where the
// service listens.

/// Readers and writers of IP address literals.
enum IPLiteral {
    /// Reads `127.0.0.1`: four decimal numbers 0...255, no leading zeros (some parsers read those
    /// as octal).
    static func version4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard let byte = DecimalNumber.parse(part, max: 255) else { return nil }
            bytes.append(UInt8(byte))
        }
        return bytes
    }

    /// Reads `::1` and the like into eight groups; an embedded IPv4 tail is allowed, a zone is not.
    ///
    /// - Source: RFC 4291, section 2.2.
    static func version6(_ text: Substring) -> [UInt16]? {
        guard let gap = text.firstRange(of: "::") else {
            guard let groups = Self.groups(text), groups.count == 8 else { return nil }
            return groups
        }
        let head = text[..<gap.lowerBound]
        guard !head.contains("."), let left = Self.groups(head),
            let right = Self.groups(text[gap.upperBound...])
        else { return nil }
        // "::" stands for at least one group.
        guard left.count + right.count <= 7 else { return nil }
        return left + [UInt16](repeating: 0, count: 8 - left.count - right.count) + right
    }

    /// The canonical text of an IPv6 address: lower case, no leading zeros, the first of the
    /// longest runs of two or more zero groups as `::`.
    ///
    /// - Source: RFC 5952, section 4.
    static func text(version6 groups: [UInt16]) -> String {
        var run = 0 ..< 0
        var index = 0
        while index < groups.count {
            let end = groups[index...].firstIndex { $0 != 0 } ?? groups.count
            if end - index > max(run.count, 1) { run = index ..< end }
            index = end + 1
        }
        func text(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !run.isEmpty else { return text(groups[...]) }
        return "\(text(groups[..<run.lowerBound]))::\(text(groups[run.upperBound...]))"
    }

    /// The IPv4 address in the last two groups of an IPv4-mapped one.
    static func text(mapped groups: [UInt16]) -> String {
        "\(groups[6] >> 8).\(groups[6] & 0xFF).\(groups[7] >> 8).\(groups[7] & 0xFF)"
    }

    private static func groups(_ text: Substring) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(".") {
                guard let tail = Self.version4(part) else { return nil }
                groups.append(UInt16(tail[0]) << 8 | UInt16(tail[1]))
                groups.append(UInt16(tail[2]) << 8 | UInt16(tail[3]))
            } else {
                guard (1 ... 4).contains(part.utf8.count), part.utf8.allSatisfy(Self.isHexDigit),
                    let group = UInt16(part, radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        return groups
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        DecimalNumber.isDigit(byte)
            || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "f"))
    }
}
