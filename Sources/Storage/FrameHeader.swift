import Bytes

/// What a frame holds; the raw values are on disk.
enum FrameKind: UInt32, Sendable {
    /// Records of one group commit.
    case records = 1
    /// No payload: everything before it was durable when it was written.
    case seal = 2
}

/// The 72 bytes before the records of one group commit: the unit of tearing.
///
/// Layout, little-endian:
/// `magic: UInt32 | kind: UInt32 | segment: UInt64 | number: UInt64 | payloadBytes: UInt32 |
/// operationCount: UInt32 | firstLSN: UInt64 | receivedAt: Int64 µs | rulesVersion: UInt32 |
/// previousHeaderCRC: UInt32 | previousResultsDigest: UInt64 | payloadCRC: UInt32 | headerCRC:
/// UInt32` over the directory id and the 68 bytes before. Then the payload, then zeros to a
/// multiple of 8. Source: docs/formats/log.md.
struct FrameHeader: Equatable, Sendable {
    static let bytes = 72
    /// `PFRM`.
    static let magic: UInt32 = 0x4D52_4650
    static let alignmentBytes = 8
    static let payloadBytesMax = LogFrame.payloadBytesMax

    var kind: FrameKind
    var segment: UInt64
    /// 1 for the first of a directory, then +1 each, through all segments.
    var number: UInt64
    var payloadBytes: Int
    /// How many lsns its records take.
    var operationCount: UInt32
    var firstLSN: UInt64
    /// Microseconds since 1970.
    var receivedAt: Int64
    var rulesVersion: UInt32
    var previousHeaderCRC: UInt32
    /// Of the results of the last frame of records before this one.
    var previousResultsDigest: UInt64
    var payloadCRC: UInt32

    /// Header, payload and padding, in bytes.
    var totalBytes: Int {
        let rest = self.payloadBytes % Self.alignmentBytes
        return Self.bytes + self.payloadBytes + (rest == 0 ? 0 : Self.alignmentBytes - rest)
    }

    /// The digest it carries; the frame that the digest belongs to is always the one right before.
    var results: ResultsMark {
        ResultsMark(lsn: self.firstLSN - 1, digest: self.previousResultsDigest)
    }

    /// Whether it is the one that comes next.
    func continues(_ chain: SegmentedLog.Chain) -> Bool {
        self.number == chain.nextFrame && self.firstLSN == chain.nextLSN
            && self.previousHeaderCRC == chain.previousHeaderCRC
    }

    /// What the frame behind it must continue.
    func chain(crc: UInt32) -> SegmentedLog.Chain {
        SegmentedLog.Chain(
            nextFrame: self.number + 1, nextLSN: self.firstLSN + UInt64(self.operationCount),
            previousHeaderCRC: crc)
    }

    /// Appends the header; returns its CRC, which the next header carries.
    func write(into buffer: inout ByteBuffer, seed: UInt32) -> UInt32 {
        let start = buffer.count
        buffer.append(Self.magic)
        buffer.append(self.kind.rawValue)
        buffer.append(self.segment)
        buffer.append(self.number)
        buffer.append(UInt32(self.payloadBytes))
        buffer.append(self.operationCount)
        buffer.append(self.firstLSN)
        buffer.append(self.receivedAt)
        buffer.append(self.rulesVersion)
        buffer.append(self.previousHeaderCRC)
        buffer.append(self.previousResultsDigest)
        buffer.append(self.payloadCRC)
        let crc = crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...]), continuing: seed)
        buffer.append(crc)
        return crc
    }

    /// Reads a header whose checksum is right and whose numbers a log can have; `nil` for anything
    /// else.
    static func read(_ bytes: UnsafeRawBufferPointer, seed: UInt32) -> (
        header: FrameHeader, crc: UInt32
    )? {
        guard bytes.count >= Self.bytes else { return nil }
        var reader = ByteReader(bytes)
        guard reader.read(UInt32.self) == Self.magic, let kind = FrameKind(rawValue: reader.read())
        else { return nil }
        let header = FrameHeader(
            kind: kind, segment: reader.read(), number: reader.read(),
            payloadBytes: Int(reader.read(UInt32.self)),
            operationCount: reader.read(), firstLSN: reader.read(), receivedAt: reader.read(),
            rulesVersion: reader.read(), previousHeaderCRC: reader.read(),
            previousResultsDigest: reader.read(),
            payloadCRC: reader.read())
        let crc = reader.read(UInt32.self)
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.bytes - 4)])
        guard crc == crc32c(body, continuing: seed), header.payloadBytes <= Self.payloadBytesMax,
            LogNumber.allowed.contains(header.number), LogNumber.allowed.contains(header.firstLSN),
            // It has no records: whoever replays the log would miss what it counts.
            kind == .records || header.operationCount == 0
        else { return nil }
        return (header, crc)
    }
}
