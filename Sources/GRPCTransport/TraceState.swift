import Bytes

/// What tracing systems along the way have added to a trace: the content of `tracestate`, which is
/// handed on as it came, or not at all.
///
/// - Source: W3C Trace Context, level 1, section 3.3.
enum TraceState {
    /// Longest value that is kept, in bytes, all fields together: as much as everybody on the way
    /// should be able to carry. A longer one is dropped as a whole.
    static let bytesMax = 512
    /// Most members of the list.
    static let membersMax = 32
    /// Longest key and longest value of a member, in bytes.
    private static let partBytesMax = 256

    /// Whether a value, of one field or of several that are joined by commas, may be handed on.
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= Self.bytesMax else { return false }
        var members = 0
        for part in bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let member = Self.trim(part)
            // Empty members are allowed, since lists of headers have them.
            guard !member.isEmpty else { continue }
            members += 1
            guard members <= Self.membersMax, Self.isMember(member) else { return false }
        }
        return members > 0
    }

    private static func isMember(_ member: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard let equals = member.firstIndex(of: UInt8(ascii: "=")) else { return false }
        let (key, value) = (member[..<equals], member[(equals + 1)...])
        return Self.isKey(key) && !value.isEmpty && value.count <= Self.partBytesMax
            && value.last != UInt8(ascii: " ")
            && value.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "=") }
    }

    /// The name of a system, with or without that of a tenant and an at sign before it.
    private static func isKey(_ key: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard key.count <= Self.partBytesMax, let first = key.first,
            Self.isLetter(first) || Self.isDigit(first),
            key.count(where: { $0 == UInt8(ascii: "@") }) <= 1
        else { return false }
        return key.allSatisfy { Self.isLetter($0) || Self.isDigit($0) || "_-*/@".utf8.contains($0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    private static func trim(
        _ part: Slice<UnsafeRawBufferPointer>
    ) -> Slice<UnsafeRawBufferPointer> {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        var part = part
        while let first = part.first, isBlank(first) { part = part.dropFirst() }
        while let last = part.last, isBlank(last) { part = part.dropLast() }
        return part
    }
}
