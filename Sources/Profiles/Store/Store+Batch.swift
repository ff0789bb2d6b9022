import Bytes

// A batch is one record; each item is applied by the function of its kind, and later ones see
// earlier ones. Of an atomic batch nothing is seen before all of it, and nothing at all if one item
// is refused (Store+Undo.swift). Source: docs/rules.md, section 6, BatchWrite.

extension Store {
    /// Carries out one batch.
    ///
    /// Result, carried out: `itemCount: UInt16`, then one result per item as its kind lays it out;
    /// of an item that validation refused a header of kind batch and its violations. Result,
    /// refused: the result of the first failing item, whose number is the header's `index`.
    func batch(_ record: RecordView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        var reader = ByteReader(record.payload)
        guard let header = BatchHeader(from: &reader),
            header.requestID.count <= RequestDeduplication.idBytesMax
        else {
            throw .malformed(lsn: call.firstLSN)
        }
        let items = try self.items(header, &reader, record, call)
        guard header.project == self.project.id else {
            return self.appendRejection(.projectNotFound, .batch, call, into: &results)
        }
        let lookup = self.remembered(.batch, header.requestID, record, call)
        if self.replayResponse(lookup, call, into: &results) { return }

        let start = ResultHeader(rejection: .none, flags: [], kind: .batch, lsn: call.lsn).begin(
            in: &results)
        results.append(UInt16(header.itemCount))
        if header.flags.contains(.bestEffort) {
            for item in items { try self.apply(item.view, item.call, results: &results) }
        } else if let failed = try self.applyAtomically(items, results: &results) {
            return self.appendFailure(of: failed, from: start, call, into: &results)
        }
        ResultHeader.end(at: start, in: &results)
        if let lookup { self.remember(lookup, results, from: start, call) }
    }

    private typealias Item = (view: BatchItemView, call: CallContext)

    private func items(
        _ header: BatchHeader, _ reader: inout ByteReader, _ record: RecordView, _ call: CallContext
    ) throws(ApplyError) -> [Item] {
        var items: [Item] = []
        items.reserveCapacity(header.itemCount)
        var next = call.firstLSN
        for _ in 0 ..< header.itemCount {
            guard let view = BatchItemView(from: &reader) else {
                throw .malformed(lsn: call.firstLSN)
            }
            let operations = UInt64(view.record.operations)
            items.append(
                (
                    view,
                    CallContext(
                        firstLSN: next, lsn: next + operations - 1, receivedAt: call.receivedAt,
                        rulesVersion: call.rulesVersion)
                ))
            next += operations
        }
        guard reader.isAtCleanEnd, !items.isEmpty, next == call.lsn + 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        return items
    }

    private func apply(_ item: BatchItemView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        switch item.kind {
        case .track: try self.track(item.record, call, results: &results)
        case .identify: try self.identify(item.record, call, results: &results)
        case .updateSubscription: try self.updateSubscription(item.record, call, results: &results)
        case nil:
            let start = ResultHeader(
                rejection: .invalidFields, flags: [], kind: .batch, lsn: call.lsn
            ).begin(in: &results)
            results.append(item.record.payload)
            ResultHeader.end(at: start, in: &results)
        default: throw .malformed(lsn: call.firstLSN)
        }
    }

    /// A refused item: its number, and where its result stands.
    private struct FailedItem {
        var index: Int
        var rejection: Rejection
        var resultOffset: Int
    }

    /// Applies all items, or none of them; returns the first that is refused.
    private func applyAtomically(
        _ items: [Item], results: inout ByteBuffer
    ) throws(ApplyError) -> FailedItem? {
        var failed: FailedItem?
        var thrown: ApplyError?
        _ = self.atomically {
            for (index, item) in items.enumerated() {
                let offset = results.count
                do throws(ApplyError) {
                    try self.apply(item.view, item.call, results: &results)
                } catch {
                    thrown = error
                    return false
                }
                // The refusal follows the length.
                guard let rejection = Rejection(rawValue: results.bytes[offset + 4]),
                    rejection == .none
                else {
                    failed = FailedItem(
                        index: index,
                        rejection: Rejection(rawValue: results.bytes[offset + 4]) ?? .none,
                        resultOffset: offset)
                    return false
                }
            }
            return true
        }
        if let thrown { throw thrown }
        return failed
    }

    private func appendFailure(
        of item: FailedItem, from start: Int, _ call: CallContext, into results: inout ByteBuffer
    ) {
        self.work.pointee.part.removeAll()
        self.work.pointee.part.append(
            UnsafeRawBufferPointer(rebasing: results.bytes[item.resultOffset...]))
        results.truncate(to: start)
        let header = ResultHeader(
            rejection: item.rejection, flags: [], kind: .batch, index: UInt8(clamping: item.index),
            lsn: call.lsn)
        let offset = header.begin(in: &results)
        results.append(self.work.pointee.part.bytes)
        ResultHeader.end(at: offset, in: &results)
    }
}
