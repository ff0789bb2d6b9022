import Bytes

/// What the headers of a request said, as far as it matters; filled field by field, kept by the stream.
struct RequestHead: ~Copyable {
    /// How a content type reads.
    enum ContentType {
        case absent
        case grpc
        case other
    }

    /// How the request's messages may be compressed.
    enum Encoding {
        case identity
        /// Known to the protocol, not built: a message that uses it is refused.
        case unsupported
        /// Not known at all: the call is refused (G33).
        case unknown
    }

    var isPOST = false
    var contentType = ContentType.absent
    var encoding = Encoding.identity
    /// Index of the method; `nil`: not served.
    var method: Int?
    /// Nanoseconds; `nil`: none.
    var timeoutNanoseconds: UInt64?
    var hasInvalidTimeout = false
    /// Counted as SETTINGS_MAX_HEADER_LIST_SIZE counts: name, value and 32 per field.
    var bytes = 0
    /// The value of `authorization`; empty: none.
    var authorization = ByteBuffer()

    mutating func reset() {
        self.isPOST = false
        self.contentType = .absent
        self.encoding = .identity
        self.method = nil
        self.timeoutNanoseconds = nil
        self.hasInvalidTimeout = false
        self.bytes = 0
        self.authorization.removeAll()
    }

    /// Takes one field. Names are compared by length first, then all bytes.
    mutating func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, methods: MethodTable) {
        switch name.count {
        case 5 where name.equals(":path"): self.method = methods.index(of: value)
        case 7 where name.equals(":method"): self.isPOST = value.equals("POST")
        case 12 where name.equals("content-type"): self.contentType = Self.contentType(value)
        case 12 where name.equals("grpc-timeout"):
            self.timeoutNanoseconds = GRPCTimeout.nanoseconds(value)
            self.hasInvalidTimeout = self.timeoutNanoseconds == nil
        case 13 where name.equals("grpc-encoding"): self.encoding = Self.encoding(value)
        case 13 where name.equals("authorization"):
            self.authorization.removeAll()
            self.authorization.append(value)
        default: break
        }
    }

    /// `application/grpc`, alone, with `+proto`, or before parameters (G3-G6).
    private static func contentType(_ value: UnsafeRawBufferPointer) -> ContentType {
        let base: StaticString = "application/grpc"
        let proto: StaticString = "application/grpc+proto"
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
    /// Whether the bytes are exactly those of a literal.
    func equals(_ literal: StaticString) -> Bool {
        self.count == literal.utf8CodeUnitCount && self.starts(with: literal)
    }

    /// Whether the bytes begin with those of a literal.
    func starts(with literal: StaticString) -> Bool {
        guard self.count >= literal.utf8CodeUnitCount else { return false }
        for index in 0 ..< literal.utf8CodeUnitCount where self[index] != literal.utf8Start[index] {
            return false
        }
        return true
    }
}
