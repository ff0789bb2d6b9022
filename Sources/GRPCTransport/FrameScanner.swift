/// Finds the frame headers in the bytes of a connection, in any cut, before nghttp2 reads them.
///
/// nghttp2 reports neither frames of unknown types, nor DATA of closed streams, nor PRIORITY once
/// RFC 7540 priorities are off, so its callbacks cannot count what a peer costs (A4-A9).
///
/// Budget: about 20 instructions per frame; the payload is not touched.
struct FrameScanner {
    /// What the first nine bytes of a frame say.
    struct Header: Equatable {
        /// Bytes of payload.
        var length: Int
        var kind: UInt8
        var flags: UInt8
        /// Without the reserved bit.
        var stream: UInt32
        /// PRIORITY only: the stream that `stream` shall depend on, without the exclusive bit.
        var dependency: UInt32 = 0
        /// Offset of the frame in the scanned bytes; 0 if it began in earlier ones.
        var offset: Int
    }

    /// The client's preface comes before the first frame (RFC 9113, section 3.4).
    static let prefaceBytes = 24
    /// A header of PRIORITY and its dependency.
    private static let priorityBytes = FrameHeader.bytes + 4

    /// Bytes to pass over: payload, or the preface.
    private var skipped = FrameScanner.prefaceBytes
    /// The beginning of a header whose rest comes with later bytes.
    private var carried: InlineArray<13, UInt8> = InlineArray(repeating: 0)
    private var carriedCount = 0

    init() {}

    /// Whether the rest of a payload, or of the preface, is to come.
    var isInsidePayload: Bool { self.skipped > 0 }

    /// The next frame header at or behind `offset`, which moves behind it.
    ///
    /// - Returns: `nil` when the bytes hold no further whole header.
    @inline(__always)
    mutating func next(in bytes: UnsafeRawBufferPointer, at offset: inout Int) -> Header? {
        let available = bytes.count &- offset
        guard available > self.skipped, let base = bytes.baseAddress else {
            self.skipped &-= available
            offset = bytes.count
            return nil
        }
        let start = offset &+ self.skipped
        if self.carriedCount == 0, bytes.count &- start >= Self.priorityBytes {
            let header = Self.read(base + start, at: start)
            self.skipped = header.length
            offset = start &+ FrameHeader.bytes
            return header
        }
        self.skipped = 0
        offset = start
        return self.nextInParts(bytes, &offset)
    }

    /// A header near the end of the bytes, or begun in earlier ones.
    private mutating func nextInParts(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int)
        -> Header?
    {
        let start = self.carriedCount == 0 ? offset : 0
        while self.carriedCount < self.wantedBytes, offset < bytes.count {
            self.carried[self.carriedCount] = bytes[offset]
            self.carriedCount += 1
            offset += 1
        }
        guard self.carriedCount == self.wantedBytes else { return nil }
        // SAFETY: the carried bytes are borrowed for the call, and are 13.
        var header = withUnsafeBytes(of: self.carried) { Self.read($0.baseAddress!, at: start) }
        // The dependency is a part of the payload that was read ahead.
        let taken = self.carriedCount - FrameHeader.bytes
        self.carriedCount = 0
        self.skipped = header.length - taken
        if taken == 0 { header.dependency = 0 }
        return header
    }

    /// How many bytes of a carried header are needed.
    private var wantedBytes: Int {
        guard self.carriedCount >= FrameHeader.bytes, self.carried[3] == FrameKind.priority,
            self.carried[0] == 0, self.carried[1] == 0, self.carried[2] >= 4
        else { return FrameHeader.bytes }
        return Self.priorityBytes
    }

    /// Reads the header at `bytes`, of which there are 13 at least.
    @inline(__always)
    private static func read(_ bytes: UnsafeRawPointer, at offset: Int) -> Header {
        // SAFETY: the caller owns the bytes for this call and there are 13 of them, which every
        // load here is within. A buffer would check its bounds for each.
        let first = UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
        let stream = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 5, as: UInt32.self))
        var header = Header(
            length: Int(first &>> 8), kind: UInt8(truncatingIfNeeded: first),
            flags: bytes.load(fromByteOffset: 4, as: UInt8.self), stream: stream & 0x7FFF_FFFF,
            offset: offset)
        if header.kind == FrameKind.priority, header.length >= 4 {
            header.dependency =
                UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 9, as: UInt32.self))
                & 0x7FFF_FFFF
        }
        return header
    }
}

/// Types and flags of RFC 9113, section 6, as far as they are looked at here.
enum FrameKind {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let priority: UInt8 = 2
    static let reset: UInt8 = 3
    static let settings: UInt8 = 4
    static let continuation: UInt8 = 9

    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4
}
