import Bytes

/// What the headers of a request said, as far as it matters; filled field by field. A connection
/// has one, as header blocks follow each other, and streams keep the two fields that matter later.
struct RequestHead: ~Copyable {
    /// How a content type reads.
    enum ContentType {
        case absent
        case grpc
        case other
    }

    /// How the request's messages may be compressed; of several values the highest counts.
    enum Encoding: UInt8 {
        case identity
        /// Known to the protocol, not supported: a message that uses it is rejected.
        case unsupported
        /// Not known at all: the call is rejected (G33).
        case unknown
    }

    /// Longest `:authority` that is compared with `host`, in bytes: a host name of 253, and a port.
    /// Of a longer one only as much is kept, since each connection has one.
    static let authorityBytesMax = 320

    var isPOST = false
    var contentType = ContentType.absent
    var encoding = Encoding.identity
    /// Index of the method; `nil`: not served.
    var method: Int?
    /// Nanoseconds; `nil`: none.
    var timeoutNanoseconds: UInt64?
    var hasInvalidTimeout = false
    /// `host` names another server than `:authority`: whoever forwarded the request may have
    /// checked either (A15).
    private(set) var hasConflictingHost = false
    /// The value of `:authority`, or its first `authorityBytesMax + 1` bytes; empty: none.
    private(set) var authority = ByteBuffer()
    /// Counted as SETTINGS_MAX_HEADER_LIST_SIZE counts: name, value and 32 per field.
    var bytes = 0
    /// The value of `authorization`, or what it would be for the key in `x-api-key`, cut at
    /// `TransportLimits.credentialsBytesMax`; empty: none, or several.
    private(set) var authorization = ByteBuffer()
    private var hasAuthorization = false
    /// What it says of a trace.
    private(set) var trace = TraceHead()

    mutating func reset() {
        self.isPOST = false
        self.contentType = .absent
        self.encoding = .identity
        self.method = nil
        self.timeoutNanoseconds = nil
        self.hasInvalidTimeout = false
        self.hasConflictingHost = false
        self.authority.removeAll()
        self.bytes = 0
        self.authorization.removeAll()
        self.hasAuthorization = false
        self.trace.reset()
    }

    /// Overwrites the credentials: no block comes any more.
    mutating func wipe() { self.authorization.wipe() }

    /// Takes one field. Names are compared by length first, then all bytes.
    ///
    /// nghttp2 rejects repeated pseudo-header fields and `host`. Of other repeated fields the
    /// strictest value counts, so that no second one can hide the first.
    mutating func add(
        name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, methods: MethodTable
    ) {
        // Without `where`, so that one jump leads to the names of a length.
        switch name.count {
        case 4:
            guard name.equals("host") else { return }
            self.hasConflictingHost =
                self.authority.count > Self.authorityBytesMax
                || self.authority.count > 0 && !HostName.isSame(self.authority.bytes, value)
        case 5: if name.equals(":path") { self.method = methods.index(of: value) }
        case 7: if name.equals(":method") { self.isPOST = value.equals("POST") }
        case 9:
            guard name.equals("x-api-key"), self.isFirstAuthorization() else { return }
            self.authorization.append("Bearer " as StaticString)
            self.authorization.append(
                value.first(TransportLimits.credentialsBytesMax - self.authorization.count))
        case 10:
            if name.equals(":authority") {
                self.authority.removeAll()
                self.authority.append(value.first(Self.authorityBytesMax + 1))
            } else if name.equals("tracestate") {
                self.trace.add(state: value)
            }
        case 11: if name.equals("traceparent") { self.trace.add(parent: value) }
        case 12:
            if name.equals("content-type") {
                if self.contentType != .other { self.contentType = Self.contentType(value) }
            } else if name.equals("grpc-timeout") {
                self.addTimeout(value)
            }
        case 13:
            if name.equals("grpc-encoding") {
                let encoding = Self.encoding(value)
                if encoding.rawValue > self.encoding.rawValue { self.encoding = encoding }
            } else if name.equals("authorization"), self.isFirstAuthorization() {
                self.authorization.append(value.first(TransportLimits.credentialsBytesMax))
            }
        case 16: if name.equals("x-profiles-trace") { self.trace.add(question: value) }
        default: break
        }
    }

    /// Whether no credentials came before; several are as good as none, so that no second one can
    /// hide the first.
    private mutating func isFirstAuthorization() -> Bool {
        self.authorization.removeAll()
        defer { self.hasAuthorization = true }
        return !self.hasAuthorization
    }

    /// One invalid value makes the call invalid (G14); of several valid ones the shortest counts.
    private mutating func addTimeout(_ value: UnsafeRawBufferPointer) {
        guard let timeout = GRPCTimeout.nanoseconds(value) else {
            self.hasInvalidTimeout = true
            return
        }
        self.timeoutNanoseconds = min(self.timeoutNanoseconds ?? .max, timeout)
    }

    /// `application/grpc`, alone, with `+proto`, or before parameters (G3-G6).
    private static func contentType(_ value: UnsafeRawBufferPointer) -> ContentType {
        let base: StaticString = "application/grpc"
        let proto: StaticString = "application/grpc+proto"
        if value.equals(base) { return .grpc }
        for type in [proto, base] where value.starts(with: type) {
            let rest = value.dropFirst(type.utf8CodeUnitCount)
            if rest.isEmpty || rest.first == UInt8(ascii: ";") { return .grpc }
        }
        return .other
    }

    private static func encoding(_ value: UnsafeRawBufferPointer) -> Encoding {
        if value.equals("identity") { return .identity }
        return value.equals("gzip") || value.equals("deflate") ? .unsupported : .unknown
    }
}

extension UnsafeRawBufferPointer {
    /// At most the first `count` bytes.
    @inline(__always)
    func first(_ count: Int) -> UnsafeRawBufferPointer {
        self.count <= count ? self : UnsafeRawBufferPointer(rebasing: self[..<count])
    }

    /// Whether the bytes are exactly those of a literal.
    @inline(__always)
    func equals(_ literal: StaticString) -> Bool {
        self.count == literal.utf8CodeUnitCount && self.starts(with: literal)
    }

    /// Whether the bytes begin with those of a literal.
    @inline(__always)
    func starts(with literal: StaticString) -> Bool {
        guard self.count >= literal.utf8CodeUnitCount else { return false }
        // SAFETY: a literal lives as long as the process, and its own count bounds it.
        let wanted = UnsafeRawBufferPointer(
            start: literal.utf8Start, count: literal.utf8CodeUnitCount)
        return self.hasSameBytes(as: wanted, count: wanted.count)
    }

    /// Whether the first `count` bytes of both, which must have as many, are the same; eight at a
    /// time.
    @inline(__always)
    func hasSameBytes(as other: UnsafeRawBufferPointer, count: Int) -> Bool {
        precondition(
            self.count >= count && other.count >= count, "both have the bytes that are compared")
        // SAFETY: the caller owns both for this call; the precondition and the checks of `offset`
        // keep every load within the first `count` bytes.
        func differ<Word: FixedWidthInteger & BitwiseCopyable>(at offset: Int, _: Word.Type) -> Bool
        {
            self.loadUnaligned(fromByteOffset: offset, as: Word.self)
                != other.loadUnaligned(fromByteOffset: offset, as: Word.self)
        }
        var offset = 0
        while offset + 8 <= count {
            if differ(at: offset, UInt64.self) { return false }
            offset += 8
        }
        // The last words may overlap what was compared before.
        if offset < count, count >= 8 { return !differ(at: count - 8, UInt64.self) }
        if count >= 4 { return !differ(at: 0, UInt32.self) && !differ(at: count - 4, UInt32.self) }
        while offset < count {
            if differ(at: offset, UInt8.self) { return false }
            offset += 1
        }
        return true
    }
}
