import Bytes

// A batch is one record; each item is applied by the function of its kind, and later ones see
// earlier ones. Readers see an atomic batch as a whole or, if one item is rejected, not at all
// (UndoLog.swift). Source: docs/rules.md, section 6, BatchWrite.
//
// SAFETY: `undo`, `changes` and `work` are one element each that `Store` owns; only the applier,
// which runs this file, follows them.

extension Store {
    /// Carries out one batch.
    ///
    /// Result, carried out: `itemCount: UInt16`, then one result per item as its kind lays it out;
    /// of an item that validation rejected a header of kind batch and its violations. Result,
    /// rejected: the result of the first failing item, whose number is the header's `index`.
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
        let head = CommandHead(
            kind: .batch, project: header.project, requestID: header.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }

        let start = ResultHeader(rejection: .none, flags: [], kind: .batch, lsn: call.lsn).begin(
            in: &results)
        results.append(UInt16(header.itemCount))
        if header.flags.contains(.bestEffort) {
            for item in items { try self.apply(item.view, item.call, results: &results) }
        } else if let failed = try self.applyAtomically(items, call, results: &results) {
            return self.appendFailure(of: failed, from: start, call, into: &results)
        }
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    private typealias Item = (view: BatchItemView, call: CallContext)

    private func items(
        _ header: BatchHeader, _ reader: inout ByteReader, _ record: RecordView, _ call: CallContext
    ) throws(ApplyError) -> [Item] {
        var items: [Item] = []
        items.reserveCapacity(header.itemCount)
        var next = call.firstLSN
        for _ in 0 ..< header.itemCount {
            // Every write of a batch is of its project: the record begins with the number.
            guard let view = BatchItemView(from: &reader),
                view.kind == nil || view.names(header.project)
            else {
                throw .malformed(lsn: call.firstLSN)
            }
            let operations = UInt64(view.record.operations)
            items.append(
                (
                    view,
                    CallContext(
                        firstLSN: next, lsn: next + operations - 1, receivedAt: call.receivedAt,
                        clock: call.clock, rules: call.rules)
                ))
            next += operations
        }
        guard reader.isAtCleanEnd, !items.isEmpty, next == call.lsn + 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        return items
    }

    /// Carries out one item by the function of its kind, and appends its result.
    func apply(_ item: BatchItemView, _ call: CallContext, results: inout ByteBuffer)
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

    /// A rejected item: its number, and the offset of its result.
    private struct FailedItem {
        var index: Int
        var rejection: Rejection
        var resultOffset: Int
    }

    /// Applies all items, or none of them; returns the first that is rejected.
    private func applyAtomically(
        _ items: [Item], _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) -> FailedItem? {
        var failed: FailedItem?
        var thrown: ApplyError?
        let isCommitted = self.atomically {
            for (index, item) in items.enumerated() {
                let offset = results.count
                do throws(ApplyError) {
                    try self.apply(item.view, item.call, results: &results)
                } catch {
                    thrown = error
                    return false
                }
                // The rejection follows the length.
                guard let rejection = Rejection(rawValue: results.bytes[offset + 4]),
                    rejection == .none
                else {
                    failed = FailedItem(
                        index: index,
                        rejection: Rejection(rawValue: results.bytes[offset + 4]) ?? .none,
                        resultOffset: offset)
                    #if CANARIES
                        if Canary.batchInPart.isActive { return true }
                    #endif
                    return false
                }
            }
            return true
        }
        if isCommitted {
            self.settleTriggers(call)
        } else {
            self.triggers.staged.removeAll()
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
