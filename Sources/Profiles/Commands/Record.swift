import Bytes

// The record is the unit that the log keeps and `apply` takes: one call, one record, hence atomic.
// It is our own versioned format and never the client's bytes, because the log must outlive the
// API.
//
// SAFETY: `ByteReader` checked that `offset` bytes are there, and the header has at least one word,
// so the last word is within them.

/// What a record commands; the raw values stand in the log and may never change.
package enum RecordKind: UInt8, Sendable {
    /// The first record of a directory: its secrets and limits. Payload: `Genesis`.
    case genesis = 1
    /// Time passes: bounded clean-up of what is due. No payload.
    case tick = 2
    /// Payload: `TrackCommand`.
    case track = 3
    /// Payload: `IdentifyCommand`.
    case identify = 4
    /// Payload: `SubscriptionHeader` and its changes.
    case updateSubscription = 5
    /// Payload: a verified confirmation token.
    case confirmSubscription = 6
    /// Payload: a verified unsubscribe token.
    case redeemUnsubscribe = 7
    case addSuppression = 8
    case removeSuppression = 9
    /// Payload: `BatchCommand`.
    case batch = 10
    /// Payload: a project's options.
    case updateProject = 11
    /// Payload: `EraseCommand`.
    case erase = 12
    /// Payload: `CreateProjectCommand`.
    case createProject = 13
    /// Payload: `DeleteProjectCommand`.
    case deleteProject = 14
    /// Payload: `CreateKeyCommand`.
    case createKey = 15
    /// Payload: `RevokeKeyCommand`.
    case revokeKey = 16
    /// Payload: `CreateTriggerCommand`.
    case createTrigger = 17
    /// Payload: `DeleteTriggerCommand`.
    case deleteTrigger = 18
    /// Payload: `SettleFiringsCommand`.
    case settleFirings = 19
    /// Payload: `ImportPartHeader` and its items.
    case importPart = 20
    /// Payload: `MergeCommand`.
    case merge = 24
    /// Payload: `UnmergeCommand`.
    case unmerge = 25
    /// Payload: `DetachCommand`.
    case detach = 26
}

/// The eight bytes before each payload.
///
/// Layout, little-endian:
/// `payloadBytes: UInt32 | kind: UInt8 | version: UInt8 | operations: UInt16`, then the payload,
/// then zeros to the next multiple of 8. `operations` (1...65,535) is how many lsns the record
/// takes.
package enum RecordFormat {
    /// Bytes of the header.
    package static let headerBytes = 4 + 1 + 1 + 2
    /// Records start at multiples of this many bytes, so that a length is never torn across
    /// sectors.
    package static let alignmentBytes = 8
    /// Largest payload, in bytes: a batch of 200 operations fits, an import is cut into several
    /// records.
    package static let payloadBytesMax = (16 << 20) - 4096
    /// The version that this release writes.
    package static let version: UInt8 = 1
}

/// Reserves a record header at the end of `buffer` and returns its offset, for `endRecord`.
package func beginRecord(_ kind: RecordKind, in buffer: inout ByteBuffer) -> Int {
    let offset = buffer.count
    buffer.append(UInt32(0))
    buffer.append(kind.rawValue)
    buffer.append(RecordFormat.version)
    buffer.append(UInt16(0))
    return offset
}

/// Completes the record begun at `offset`: length, operations, padding.
package func endRecord(at offset: Int, operations: Int, in buffer: inout ByteBuffer) {
    buffer.patch(UInt32(buffer.count - offset - RecordFormat.headerBytes), at: offset)
    buffer.patch(UInt16(operations), at: offset + 6)
    buffer.pad(to: RecordFormat.alignmentBytes)
}

/// One record, borrowed from a frame or a batch.
package struct RecordView {
    package var kind: UInt8
    package var version: UInt8
    /// How many lsns it takes, at least 1.
    package var operations: Int
    package var payload: UnsafeRawBufferPointer
    /// Header, payload and padding together.
    package var totalBytes: Int

    /// An item of a batch, which has no header of its own.
    init(kind: UInt8, operations: Int, payload: UnsafeRawBufferPointer) {
        self.kind = kind
        self.version = RecordFormat.version
        self.operations = operations
        self.payload = payload
        self.totalBytes = payload.count
    }

    /// Reads the record at the start of `bytes`; `nil` if it is not whole or its padding is not
    /// zero.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes)
        let header = reader.read(count: RecordFormat.headerBytes)
        guard header.count == RecordFormat.headerBytes else { return nil }
        let payloadBytes = Int(header.integer(at: 0, UInt32.self))
        self.kind = header[4]
        self.version = header[5]
        self.operations = Int(header.integer(at: 6, UInt16.self))
        self.payload = reader.read(count: payloadBytes)
        let padding =
            (RecordFormat.alignmentBytes - payloadBytes % RecordFormat.alignmentBytes)
            % RecordFormat.alignmentBytes
        _ = reader.read(count: padding)
        guard !reader.overrun, self.operations > 0 else { return nil }
        self.totalBytes = reader.offset
        // The header alone is a word, so there is a last one; its upper bytes are the padding.
        let last = UInt64(
            littleEndian: bytes.loadUnaligned(
                fromByteOffset: reader.offset - MemoryLayout<UInt64>.size, as: UInt64.self))
        guard padding == 0 || last >> UInt64(64 - 8 * padding) == 0 else { return nil }
    }
}
