import Bytes

// The records that a store over its memory limit still accepts. Only the admission before the log
// uses it: `apply` does not.

extension Store {
    /// Whether a record is accepted over the memory limit: one of a kind that always is, but
    /// suppressions only as long as those of all projects together are no more than one project
    /// may have. The bound of each project alone would let ten thousand of them fill the machine.
    /// Any thread.
    package func takesOverMemoryLimit(_ record: RecordView) -> Bool {
        self.takesOverMemoryLimit(record, suppressionsMax: SuppressionStore.addressesMax)
    }

    func takesOverMemoryLimit(_ record: RecordView, suppressionsMax: Int) -> Bool {
        guard record.isTakenOverMemoryLimit else { return false }
        return RecordKind(rawValue: record.kind) != .addSuppression
            || self.suppressions.lockedCount < suppressionsMax
    }
}

extension RecordView {
    /// Whether the record is of a kind that is accepted over the memory limit: a lack of memory
    /// must not prevent an opt-out, an erasure or the revocation of a key; the deletion of a
    /// project or trigger, settled firings, and a project's options (a shorter retention) free
    /// memory.
    ///
    /// These are an opt-out (an UpdateSubscription of nothing but UNSUBSCRIBED, an unsubscribe
    /// link, a suppression), a log-out, a detachment, an erasure, and a batch or a part of an
    /// import of nothing else.
    package var isTakenOverMemoryLimit: Bool {
        switch RecordKind(rawValue: self.kind) {
        case .redeemUnsubscribe, .addSuppression, .updateProject, .deleteProject, .erase,
            .revokeKey, .deleteTrigger, .settleFirings, .detach:
            true
        case .updateSubscription: Self.isOptOut(self.payload)
        case .identify: Self.isLogOut(self.payload)
        case .batch: Self.isBatchOfTaken(self.payload)
        case .importPart: Self.isPartOfTaken(self.payload)
        default: false
        }
    }

    private static func isOptOut(_ payload: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(payload)
        guard let header = SubscriptionHeader(from: &reader) else { return false }
        for _ in 0 ..< header.changeCount {
            guard let change = SubscriptionChangeView(from: &reader), change.state == .unsubscribed
            else { return false }
        }
        return header.changeCount > 0
    }

    private static func isLogOut(_ payload: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(payload)
        return IdentifyHeader(from: &reader)?.flags.contains(.loggedOut) == true
    }

    private static func isBatchOfTaken(_ payload: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(payload)
        guard let header = BatchHeader(from: &reader) else { return false }
        return Self.areTaken(header.itemCount, &reader)
    }

    private static func isPartOfTaken(_ payload: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(payload)
        guard let header = ImportPartHeader(from: &reader) else { return false }
        return Self.areTaken(header.itemCount, &reader)
    }

    private static func areTaken(_ itemCount: Int, _ reader: inout ByteReader) -> Bool {
        for _ in 0 ..< itemCount {
            guard let item = BatchItemView(from: &reader), item.record.isTakenOverMemoryLimit else {
                return false
            }
        }
        return itemCount > 0
    }
}
