import Bytes

// The fingerprint of a message without what a retry changes. A client stamps `sent_at` anew with
// each attempt, so two attempts are equal whatever it says, and also if only one of them has it.
//
// SAFETY: `work` is one element that `Store` owns, and its `part` is free while a command begins;
// only the applier, which runs this file, follows it. Slices are of the record, whose lengths were
// read from it and checked.

/// Where a payload has its time of sending, 8 bytes, and the flag that announces it.
struct SentAtField {
    /// Flags are at the same offset in every command that may have the field: behind the project.
    static let flagsOffset = 4
    static let bytes = MemoryLayout<Int64>.size

    var flag: UInt8
    var offset: Int
}

extension Store {
    /// The fingerprint of a payload without request id and times of sending; `nil`: that of the
    /// payload without its request id, because it has no time of sending.
    ///
    /// - Complexity: O(bytes of the payload), for messages with the field only.
    @inline(__always)
    func equalFingerprint(
        _ command: CommandHead, _ record: RecordView, _ call: CallContext
    ) -> Fingerprint? {
        guard call.rules.ignoresSentAtOfRetries else { return nil }
        if let field = command.sentAt { return self.fingerprint(command, record, without: field) }
        return command.kind == .batch ? self.batchFingerprint(command, record) : nil
    }

    @inline(never)
    private func fingerprint(
        _ command: CommandHead, _ record: RecordView, without field: SentAtField
    ) -> Fingerprint {
        let id = Self.range(of: command.requestID, in: record.payload)
        self.work.pointee.part.removeAll()
        Self.appendEqual(
            record.payload, without: field, requestID: id, to: &self.work.pointee.part)
        return self.hashEqual(before: id.lowerBound)
    }

    /// Of a batch with at least one item that has the field; `nil`: none has it.
    @inline(never)
    private func batchFingerprint(_ command: CommandHead, _ record: RecordView) -> Fingerprint? {
        let payload = record.payload
        var reader = ByteReader(payload)
        guard let header = BatchHeader(from: &reader) else { return nil }
        let items = reader
        var isAny = false
        for _ in 0 ..< header.itemCount {
            guard let item = BatchItemView(from: &reader) else { return nil }
            isAny = isAny || item.sentAt != nil
        }
        guard isAny else { return nil }
        let id = Self.range(of: command.requestID, in: payload)
        self.work.pointee.part.removeAll()
        self.work.pointee.part.append(UnsafeRawBufferPointer(rebasing: payload[..<id.lowerBound]))
        self.work.pointee.part.append(
            UnsafeRawBufferPointer(rebasing: payload[id.upperBound ..< items.offset]))
        reader = items
        for _ in 0 ..< header.itemCount {
            let start = reader.offset
            guard let item = BatchItemView(from: &reader) else { return nil }
            guard let field = item.sentAt else {
                self.work.pointee.part.append(
                    UnsafeRawBufferPointer(rebasing: payload[start ..< reader.offset]))
                continue
            }
            let offset = beginBatchItem(item.kind, in: &self.work.pointee.part)
            Self.appendEqual(
                item.record.payload, without: field, requestID: 0 ..< 0,
                to: &self.work.pointee.part)
            endBatchItem(
                at: offset, operations: item.record.operations, in: &self.work.pointee.part)
        }
        return self.hashEqual(before: id.lowerBound)
    }

    /// The request id of a payload with its prefix, which is one byte.
    private static func range(
        of id: UnsafeRawBufferPointer, in payload: UnsafeRawBufferPointer
    ) -> Range<Int> {
        guard let start = payload.baseAddress, let idStart = id.baseAddress else {
            preconditionFailure("a request id that is not empty is a slice of the payload")
        }
        return idStart - start - 1 ..< idStart - start + id.count
    }

    /// Appends a payload without its request id, its time of sending and the flag of that.
    static func appendEqual(
        _ payload: UnsafeRawBufferPointer, without field: SentAtField, requestID id: Range<Int>,
        to buffer: inout ByteBuffer
    ) {
        let flags = SentAtField.flagsOffset
        buffer.append(UnsafeRawBufferPointer(rebasing: payload[..<flags]))
        buffer.append(payload[flags] & ~field.flag)
        let next = max(flags + 1, id.lowerBound)
        buffer.append(UnsafeRawBufferPointer(rebasing: payload[flags + 1 ..< next]))
        buffer.append(
            UnsafeRawBufferPointer(
                rebasing: payload[max(next, id.upperBound) ..< field.offset]))
        buffer.append(
            UnsafeRawBufferPointer(rebasing: payload[(field.offset + SentAtField.bytes)...]))
    }

    /// Hashes what was appended as `RequestDeduplication.lookUp` hashes a payload: in two parts,
    /// divided where the request id was.
    private func hashEqual(before count: Int) -> Fingerprint {
        let bytes = self.work.pointee.part.bytes
        return self.hash.fingerprint(
            UnsafeRawBufferPointer(rebasing: bytes[..<count]),
            UnsafeRawBufferPointer(rebasing: bytes[count...]))
    }
}

extension BatchItemView {
    /// The item's time of sending; `nil`: it has none.
    var sentAt: SentAtField? {
        let payload = self.record.payload
        guard let kind = self.kind, payload.count > SentAtField.flagsOffset else { return nil }
        let flags = payload[SentAtField.flagsOffset]
        var reader = ByteReader(payload)
        switch kind {
        case .track where flags & TrackFlags.hasSentAt.rawValue != 0:
            return TrackHeader(from: &reader)?.sentAtField
        case .identify where flags & IdentifyFlags.hasSentAt.rawValue != 0:
            return IdentifyHeader(from: &reader)?.sentAtField
        case .updateSubscription where flags & SubscriptionFlags.hasSentAt.rawValue != 0:
            return SubscriptionHeader(from: &reader)?.sentAtField
        default: return nil
        }
    }
}
