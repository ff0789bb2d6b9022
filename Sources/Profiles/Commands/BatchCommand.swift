import Bytes

// Several writes in one record: atomic, or each on its own. An item's payload is that of a record
// of its kind, without a request id.

/// Flags of a batch; raw values stand in the log.
package struct BatchFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Each item on its own; without it all of them or none.
    package static let bestEffort = BatchFlags(rawValue: 1 << 0)
}

/// Everything of a batch but its items; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | requestID: prefixed (empty: none) | itemCount: UInt16`, then
/// the items.
package struct BatchHeader {
    package var project: ProjectID
    package var flags: BatchFlags
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// 1...200.
    package var itemCount: Int

    package init(
        project: ProjectID, flags: BatchFlags, requestID: UnsafeRawBufferPointer, itemCount: Int
    ) {
        self.project = project
        self.flags = flags
        self.requestID = requestID
        self.itemCount = itemCount
    }

    /// Appends the header; the items follow by `beginBatchItem` and `endBatchItem`.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(UInt16(self.itemCount))
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.project = ProjectID(rawValue: reader.read())
        self.flags = BatchFlags(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        self.itemCount = Int(reader.read(UInt16.self))
        guard !reader.overrun else { return nil }
    }
}

/// Begins an item and returns its offset, for `endBatchItem`.
///
/// Layout of an item: `payloadBytes: UInt32 | kind: UInt8 | 0 | operations: UInt16 | payload`. Kind
/// 0 is an item that validation rejected:
/// `violationCount: varint | (path: prefixed, description: prefixed) each`, one operation.
package func beginBatchItem(_ kind: RecordKind?, in buffer: inout ByteBuffer) -> Int {
    let offset = buffer.count
    buffer.append(UInt32(0))
    buffer.append(kind?.rawValue ?? 0)
    buffer.append(UInt8(0))
    buffer.append(UInt16(0))
    return offset
}

/// Completes the item begun at `offset`.
package func endBatchItem(at offset: Int, operations: Int, in buffer: inout ByteBuffer) {
    buffer.patch(UInt32(buffer.count - offset - RecordFormat.headerBytes), at: offset)
    buffer.patch(UInt16(operations), at: offset + 6)
}

/// One item of a batch, borrowed.
struct BatchItemView {
    /// `nil`: rejected by validation.
    var kind: RecordKind?
    var record: RecordView

    /// Whether it is of a project: every payload of a kind begins with the number.
    func names(_ project: ProjectID) -> Bool {
        self.record.payload.count >= 4
            && self.record.payload.integer(at: 0, UInt32.self) == project.rawValue
    }

    /// Reads the next item; `nil` if it is not one.
    init?(from reader: inout ByteReader) {
        let payloadBytes = Int(reader.read(UInt32.self))
        let rawKind = reader.read(UInt8.self)
        _ = reader.read(UInt8.self)
        let operations = Int(reader.read(UInt16.self))
        let payload = reader.read(count: payloadBytes)
        guard !reader.overrun, operations > 0 else { return nil }
        self.record = RecordView(kind: rawKind, operations: operations, payload: payload)
        self.kind = RecordKind(rawValue: rawKind)
        switch self.kind {
        case .track, .identify, .updateSubscription: break
        case nil where rawKind == 0: break
        default: return nil
        }
    }
}
