/// Compares `host` with `:authority` (A15).
///
/// Source: RFC 9113, section 8.3.1; RFC 3986, section 6.2: case does not count, nor does the port
/// that a scheme implies.
enum HostName {
    private static let impliedPorts: [StaticString] = [":80", ":443"]

    /// Whether both name the same server.
    static func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        if one.count == other.count { return Self.hasPrefix(one, other) }
        let (longer, shorter) = one.count > other.count ? (one, other) : (other, one)
        guard Self.hasPrefix(longer, shorter) else { return false }
        let rest = UnsafeRawBufferPointer(rebasing: longer[shorter.count...])
        return Self.impliedPorts.contains { rest.equals($0) }
    }

    /// Whether `text` begins with `prefix`, which is not longer, whatever the case of ASCII
    /// letters.
    private static func hasPrefix(_ text: UnsafeRawBufferPointer, _ prefix: UnsafeRawBufferPointer)
        -> Bool
    {
        for index in prefix.indices
        where Self.lowerCase(text[index]) != Self.lowerCase(prefix[index]) {
            return false
        }
        return true
    }

    private static func lowerCase(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }
}
