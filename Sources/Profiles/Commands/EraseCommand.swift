import Bytes

/// An erasure in the log: keyed hashes instead of the identifiers of the person, so
/// that the record brings back nothing.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 (1 has expectedRevision) | identifierKind: UInt8 | place: UInt64
/// | identifier: 2 x UInt64 (low, high) | requestID: prefixed (empty: none; else 16 bytes, its
/// keyed hash) | [expectedRevision: UInt64]`.
package struct EraseCommand {
    package var project: ProjectID
    package var kind: IdentifierKind
    /// Where the index has the identifier.
    package var indexHash: UInt64
    package var identifier: IdentifierHash
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var expectedRevision: UInt64?

    private static let hasExpectedRevision: UInt8 = 1 << 0
    /// Bytes of the hash that replaces a request id.
    static let requestIDBytes = 16

    package init(
        project: ProjectID, kind: IdentifierKind, indexHash: UInt64, identifier: IdentifierHash,
        requestID: UnsafeRawBufferPointer,
        expectedRevision: UInt64?
    ) {
        self.project = project
        self.kind = kind
        self.indexHash = indexHash
        self.identifier = identifier
        self.requestID = requestID
        self.expectedRevision = expectedRevision
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.expectedRevision == nil ? UInt8(0) : Self.hasExpectedRevision)
        buffer.append(self.kind.rawValue)
        buffer.append(self.indexHash)
        buffer.append(self.identifier.low)
        buffer.append(self.identifier.high)
        buffer.appendPrefixed(self.requestID)
        if let expectedRevision = self.expectedRevision { buffer.append(expectedRevision) }
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        let flags = reader.read(UInt8.self)
        guard let kind = IdentifierKind(rawValue: reader.read()) else { return nil }
        self.kind = kind
        self.indexHash = reader.read()
        self.identifier = IdentifierHash(low: reader.read(), high: reader.read())
        self.requestID = reader.readPrefixed()
        self.expectedRevision = flags & Self.hasExpectedRevision != 0 ? reader.read() : nil
        guard reader.isAtCleanEnd, flags & ~Self.hasExpectedRevision == 0,
            self.requestID.count == 0 || self.requestID.count == Self.requestIDBytes
        else { return nil }
    }
}

/// The body of an erasure that was carried out; a rejected one has a zero byte.
///
/// Layout: `existed: UInt8 | logPurgeDue: Int64 µs`.
package struct EraseResultBody: Equatable {
    package var existed: Bool
    /// When log and snapshots hold nothing of the person at the latest, in microseconds since 1970.
    package var logPurgeDue: Int64

    /// From the erasure to `logPurgeDue`, in microseconds. Snapshots keep the promise: one is begun
    /// at the latest 8 hours after the first record that none covers, and the two newest are kept.
    static let purgeWithin: Int64 = 24 * 3_600 * 1_000_000

    init(existed: Bool, erasedAt: Int64) {
        self.existed = existed
        self.logPurgeDue = erasedAt + Self.purgeWithin
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.existed ? UInt8(1) : 0)
        buffer.append(self.logPurgeDue)
    }

    /// Reads a body; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.existed = reader.read(UInt8.self) != 0
        self.logPurgeDue = reader.read()
        guard !reader.overrun else { return nil }
    }
}
