import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

/// The writes of one message being decoded: what they add up to.
struct BatchTally {
    /// lsns of all writes.
    var operations = 0
    /// Items of all writes, for the accounting.
    var items = 0
    /// Bytes of the consent ledger that all writes may take.
    var ledgerBytes = 0
}

/// What becomes of an invalid write.
enum InvalidWrite {
    /// It rejects the call.
    case rejectsTheCall
    /// It is a rejected item of the record, and the other writes are carried out.
    case isRejectedAlone
}

extension MessageDecoder {
    /// `BatchWriteRequest.operations` and `ImportProfilesRequest.operations`.
    static let operationsField: UInt64 = 3

    /// Decodes and validates a BatchWriteRequest, write by write. With `best_effort` an invalid
    /// write becomes a rejected item of the record, whatever is wrong inside of it; any other
    /// violation rejects the call.
    ///
    /// - Parameter windows: As of `decodeTrack`.
    /// - Complexity: O(bytes of the message); the arena holds one write at a time.
    package func decodeBatch(
        _ message: UnsafeRawBufferPointer, windows: (UnsafeRawBufferPointer) -> AdvisoryWindows
    ) -> Decoded<DecodedWrite> {
        let malformation = self.splitter.split(
            message, itemsIn: Self.operationsField, itemsMax: WireLimits.batchOperationsMax)
        if let malformation { return .malformed(malformation) }
        self.arena.reset()
        let root = WireSchema.shared.batchWriteRequest
        switch self.unpack(self.splitter.envelope.bytes, as: root) {
        case .message(let envelope):
            return self.decodeBatch(envelope.pointee, message, windows)
        case .invalid(let violations, _):
            return .invalid(
                violations, items: WireItemCounter.count(in: message, root: root.index))
        case let other: return other.map { _ in preconditionFailure("rejected") }
        }
    }

    private func decodeBatch(
        _ envelope: Profiles__V1__BatchWriteRequest, _ message: UnsafeRawBufferPointer,
        _ windows: (UnsafeRawBufferPointer) -> AdvisoryWindows
    ) -> Decoded<DecodedWrite> {
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        self.unsupportedField = nil
        self.beginPayload()
        let project = ValuePacker.text(envelope.project)
        let isBestEffort = envelope.best_effort != 0
        self.packHeader(of: envelope, isBestEffort: isBestEffort)
        guard self.splitter.itemCount <= WireLimits.batchOperationsMax else {
            let root = WireSchema.shared.batchWriteRequest.index
            return .invalid(
                self.packer.violations, items: WireItemCounter.count(in: message, root: root))
        }
        let tally = self.packOperations(
            of: message, project: project,
            invalid: isBestEffort ? .isRejectedAlone : .rejectsTheCall
        ) { windows(project) }
        guard self.packer.violations.isEmpty else {
            return .invalid(self.packer.violations, items: tally.items)
        }
        if let field = self.unsupportedField { return .unsupported(field: field) }
        return .message(
            DecodedWrite(
                project: project, kind: .batch, operations: tally.operations,
                itemCount: tally.items, updates: self.splitter.itemCount))
    }

    /// Packs everything but the writes; violations are noted.
    private func packHeader(of request: Profiles__V1__BatchWriteRequest, isBestEffort: Bool) {
        self.checkProject(request.project)
        let requestID = self.requestID(request.request_id)
        let count = self.splitter.itemCount
        if !(1 ... WireLimits.batchOperationsMax ~= count) {
            self.packer.add(
                "\(count) operations, 1 to \(WireLimits.batchOperationsMax) are needed",
                at: "operations")
        }
        self.markProject()
        BatchHeader(
            project: .unresolved, flags: isBestEffort ? .bestEffort : [], requestID: requestID,
            itemCount: self.splitter.items.count
        ).write(into: &self.payload)
    }

    /// Unpacks, validates and packs the writes that `splitter` cut from a message, one by one.
    ///
    /// Violations of writes that reject the call are noted, with the index of the first such write.
    ///
    /// - Parameters:
    ///   - project: Of the message; its writes may repeat it. Borrowed from the arena, which is
    ///     rewound to its present state after each write.
    ///   - windows: Evaluated only where invalid writes reject the call.
    func packOperations(
        of message: UnsafeRawBufferPointer, project: UnsafeRawBufferPointer, invalid: InvalidWrite,
        windows: () -> AdvisoryWindows
    ) -> BatchTally {
        self.batchProject = project
        defer { self.batchProject = nil }
        var tally = BatchTally()
        let envelope = self.arena.mark
        for index in self.splitter.items.indices {
            self.arena.rewind(to: envelope)
            self.packer.path.push("operations")
            self.packer.path.push(index: index)
            let before = self.packer.violations
            self.packer.violations.removeAll()
            self.packItem(
                UnsafeRawBufferPointer(rebasing: message[self.splitter.items[index]]),
                &tally, invalid, windows)
            let own = self.packer.violations
            self.packer.violations = before
            if !own.isEmpty {
                self.packer.violations.add(own)
                self.packer.violations.index = before.index ?? index
            }
            self.packer.path.pop()
            self.packer.path.pop()
        }
        return tally
    }

    /// Packs one write; if it is invalid and rejected alone, its rejection, and no violation is
    /// left.
    ///
    /// - Returns: What was wrong with a write that is rejected alone; empty: nothing.
    @discardableResult
    func packItem(
        _ message: UnsafeRawBufferPointer, _ tally: inout BatchTally, _ invalid: InvalidWrite,
        _ windows: () -> AdvisoryWindows
    ) -> Violations {
        let start = self.payload.count
        let projectsBefore = self.projectOffsets.count
        var operations = 1
        if let operation = self.unpackOperation(message) {
            tally.items += Self.itemCount(of: operation.pointee)
            operations = self.packOperation(
                operation.pointee, listsTimes: invalid == .rejectsTheCall, windows)
            self.addLedgerBytes(of: operation.pointee, to: &tally)
        } else {
            tally.items += WireItemCounter.count(
                in: message, root: WireSchema.shared.writeOperation.index)
        }
        let own = self.packer.violations
        if !own.isEmpty, invalid == .isRejectedAlone {
            self.packer.violations.removeAll()
            self.payload.truncate(to: start)
            self.projectOffsets.removeLast(self.projectOffsets.count - projectsBefore)
            let item = beginBatchItem(nil, in: &self.payload)
            own.append(to: &self.payload)
            operations = 1
            endBatchItem(at: item, operations: operations, in: &self.payload)
        }
        tally.operations += operations
        return own
    }

    /// Checks and unpacks one write; `nil`: it cannot be unpacked, and its violations are noted.
    private func unpackOperation(
        _ message: UnsafeRawBufferPointer
    ) -> UnsafeMutablePointer<Profiles__V1__WriteOperation>? {
        switch self.unpack(message, as: WireSchema.shared.writeOperation) {
        case .message(let operation):
            if !self.rejectedEvents.isEmpty {
                let path = self.packer.path.text()
                for index in self.rejectedEvents.indices {
                    self.rejectedEvents[index].violations =
                        self.rejectedEvents[index].violations.below(path)
                }
            }
            return operation
        case .invalid(let violations, _):
            self.packer.violations.add(violations.below(self.packer.path.text()))
        case .malformed(let found): self.packer.add("not protobuf: \(found)")
        case .tooLarge:
            self.packer.add("more than \(WireLimits.arenaBytesMax) bytes when decoded")
        case .unsupported: preconditionFailure("only a validation finds such a field")
        }
        return nil
    }

    /// Items of one write, for the accounting.
    private static func itemCount(of operation: Profiles__V1__WriteOperation) -> Int {
        switch operation.operation_case {
        case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
            Self.itemCount(of: operation.identify.pointee.attributes)
        case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK: operation.track.pointee.n_events
        case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
            operation.update_subscription.pointee.n_changes
        default: 0
        }
    }

    /// Packs one write; violations are noted.
    ///
    /// - Returns: How many lsns it takes.
    private func packOperation(
        _ operation: Profiles__V1__WriteOperation, listsTimes: Bool,
        _ windows: () -> AdvisoryWindows
    ) -> Int {
        var operations = 1
        switch operation.operation_case {
        case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
            let item = beginBatchItem(.identify, in: &self.payload)
            self.packer.path.push("identify")
            self.pack(operation.identify.pointee)
            endBatchItem(at: item, operations: 1, in: &self.payload)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK:
            let item = beginBatchItem(.track, in: &self.payload)
            operations = max(operation.track.pointee.n_events, 1)
            self.packer.path.push("track")
            self.pack(operation.track.pointee, listsTimes: listsTimes, windows: windows)
            endBatchItem(at: item, operations: operations, in: &self.payload)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
            let item = beginBatchItem(.updateSubscription, in: &self.payload)
            operations =
                1 ... SubscriptionHeader.changesMax
                    ~= operation.update_subscription.pointee.n_changes
                ? operation.update_subscription.pointee.n_changes : 1
            self.packer.path.push("update_subscription")
            self.pack(operation.update_subscription.pointee)
            endBatchItem(at: item, operations: operations, in: &self.payload)
            self.packer.path.pop()
        default: self.packer.add("no operation is set")
        }
        return operations
    }

    /// Adds what an UpdateSubscription takes of the ledgers, and rejects it if that is too much
    /// for one batch: each change keeps a copy of its call's evidence.
    private func addLedgerBytes(
        of operation: Profiles__V1__WriteOperation, to tally: inout BatchTally
    ) {
        guard
            operation.operation_case
                == PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION
        else { return }
        let request = operation.update_subscription.pointee
        let changes = min(request.n_changes, SubscriptionHeader.changesMax)
        let bytes = changes * (Self.ledgerEntryBytes + Self.evidenceBytes(request.evidence))
        guard tally.ledgerBytes + bytes <= Self.batchLedgerBytesMax else {
            self.packer.path.push("update_subscription")
            self.packer.add(
                "with the writes before it more than \(Self.batchLedgerBytesMax) bytes of "
                    + "ledger entries, each of which has a copy of its evidence",
                at: "changes")
            return self.packer.path.pop()
        }
        tally.ledgerBytes += bytes
    }

    /// Ledger entries of one batch, in bytes: 200 writes of 100 changes without evidence, or 1,000
    /// changes with the longest.
    static let batchLedgerBytesMax = 13 << 20
    /// An entry without its evidence, in bytes, with the longest topic.
    private static let ledgerEntryBytes = 512
}
