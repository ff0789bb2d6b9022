import Bytes
import CNGHTTP2

/// Where the fields of a frame's header are (RFC 9113, section 4.1).
enum FrameHeader {
    static let bytes = 9
    static let flagsOffset = 4
    static let streamOffset = 5
}

/// The trailers of a call that is OK, as the HEADERS frame that the peer gets.
///
/// Their only field is a literal that enters no table (RFC 7541, section 6.2.2): the frame is the
/// same on every connection, and nghttp2, which does not learn of it, keeps compressing rightly. It
/// is 14 bytes longer than an indexed field, and saves a submission, a queue and a compression.
enum TrailersOK {
    /// 15 bytes of HEADERS that end headers and stream; stream 0 until it is known; a new name of
    /// 11 bytes, a value of one.
    private static let frame: StaticString =
        "\u{0}\u{0}\u{F}\u{1}\u{5}\u{0}\u{0}\u{0}\u{0}\u{0}\u{B}grpc-status\u{1}0"

    /// Appends the frame of a stream.
    static func append(to buffer: inout ByteBuffer, stream: Int32) {
        let start = buffer.count
        buffer.append(Self.frame)
        buffer.patch(stream.bigEndian, at: start + FrameHeader.streamOffset)
    }
}

/// Header fields that are sent with every response, built once per process and never copied.
// SAFETY: `init` fills the arrays once, and they are never freed; their strings are literals;
// nothing writes to them afterwards, nghttp2 included.
struct StaticHeaders: @unchecked Sendable {
    static let shared = StaticHeaders()

    /// `:status 200` and the content type.
    let response: UnsafeMutableBufferPointer<nghttp2_nv>

    private init() {
        self.response = .allocate(capacity: 2)
        _ = self.response.initialize(fromContentsOf: [
            Self.field(":status", "200"), Self.field("content-type", "application/grpc"),
        ])
    }

    static func field(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
        let flags = UInt8(
            NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
        // SAFETY: literals live as long as the process; nghttp2 does not write through these
        // pointers.
        return nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value.utf8Start),
            namelen: name.utf8CodeUnitCount, valuelen: value.utf8CodeUnitCount, flags: flags)
    }
}

/// Fields made for one response: of errors, traces and the ends of streams, so it allocates.
struct HeaderList {
    private var names: [StaticString] = []
    private var values: [[UInt8]] = []

    mutating func add(_ name: StaticString, _ value: [UInt8]) {
        self.names.append(name)
        self.values.append(value)
    }

    mutating func add(_ name: StaticString, _ value: String) {
        self.add(name, Array(value.utf8))
    }

    /// Adds status, message and details of a call that failed or ended.
    mutating func add(_ status: RPCStatus) {
        self.add("grpc-status", String(status.code.rawValue))
        if !status.message.isEmpty {
            self.add("grpc-message", PercentEncoding.encode(status.message))
        }
        if !status.details.isEmpty {
            self.add("grpc-status-details-bin", Base64.encodeUnpadded(status.details))
        }
    }

    /// Calls `body` with the fields; nghttp2 copies the values.
    func withFields<Result>(_ body: (UnsafePointer<nghttp2_nv>, Int) -> Result) -> Result {
        var joined: [UInt8] = []
        for value in self.values { joined += value }
        return joined.withUnsafeMutableBufferPointer { bytes in
            var fields: [nghttp2_nv] = []
            var offset = 0
            for (name, value) in zip(self.names, self.values) {
                // SAFETY: `bytes` outlives `body`; nghttp2 copies the value during the call, and
                // the name is a literal.
                fields.append(
                    nghttp2_nv(
                        name: UnsafeMutablePointer(mutating: name.utf8Start),
                        value: bytes.baseAddress.map { $0 + offset }
                            ?? UnsafeMutablePointer(mutating: name.utf8Start),
                        namelen: name.utf8CodeUnitCount, valuelen: value.count,
                        flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue)))
                offset += value.count
            }
            return fields.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) }
        }
    }
}
