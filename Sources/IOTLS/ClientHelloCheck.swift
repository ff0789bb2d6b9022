/// Looks at the first bytes of a connection before OpenSSL does: they must begin a ClientHello of
/// a bounded size, in one record.
///
/// OpenSSL would take the announced length of up to 128 KiB at its word and allocate it, for each
/// of the connections that only say so. An honest ClientHello has 200 bytes to 2 KiB.
///
/// Layout: `type 22: UInt8 | version 3.x: 2 bytes | record length: UInt16 | type 1: UInt8 |
/// length: UInt24`, big-endian (RFC 8446, sections 4 and 5.1).
struct ClientHelloCheck {
    /// Most bytes of a ClientHello: those of one record.
    static let helloBytesMax = (16 << 10) - Self.handshakeHeaderBytes
    private static let recordHeaderBytes = 5
    private static let handshakeHeaderBytes = 4

    enum Verdict: Equatable {
        /// The bytes that decide are not complete.
        case needsMore
        case isClientHello
        /// Something else, such as HTTP without TLS.
        case isNotTLS
        case isTooLarge
    }

    private var first: [UInt8] = []
    private(set) var verdict = Verdict.needsMore

    /// Examines the next bytes; once there is a verdict, it stays.
    mutating func examine(_ bytes: UnsafeRawBufferPointer) {
        guard self.verdict == .needsMore else { return }
        let decisive = Self.recordHeaderBytes + Self.handshakeHeaderBytes
        self.first += bytes.prefix(decisive - self.first.count)
        self.verdict = Self.verdict(on: self.first)
        if self.verdict != .needsMore { self.first = [] }
    }

    private static func verdict(on first: [UInt8]) -> Verdict {
        let expected: [(index: Int, value: UInt8)] = [(0, 22), (1, 3), (5, 1)]
        for (index, value) in expected where index < first.count && first[index] != value {
            return .isNotTLS
        }
        if first.count >= self.recordHeaderBytes {
            let recordBytes = Int(first[3]) << 8 | Int(first[4])
            // Nobody cuts the header of the first message in two.
            guard recordBytes >= self.handshakeHeaderBytes else { return .isNotTLS }
        }
        guard first.count == self.recordHeaderBytes + self.handshakeHeaderBytes else {
            return .needsMore
        }
        let helloBytes = Int(first[6]) << 16 | Int(first[7]) << 8 | Int(first[8])
        return helloBytes <= self.helloBytesMax ? .isClientHello : .isTooLarge
    }
}
