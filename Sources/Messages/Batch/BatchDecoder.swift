import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

extension MessageDecoder {
    /// Decodes and validates a BatchWriteRequest. With `best_effort` an invalid write becomes a
    /// rejected item of the record; any other violation rejects the call.
    ///
    /// - Parameter windows: As of `decodeTrack`.
    package func decodeBatch(
        _ message: UnsafeRawBufferPointer, windows: (UnsafeRawBufferPointer) -> AdvisoryWindows
    ) -> Decoded<DecodedWrite> {
        self.decode(
            message, as: WireSchema.shared.batchWriteRequest,
            itemCount: { Self.itemCount(of: $0.pointee) },
            validate: { request in
                self.beginPayload()
                let project = ValuePacker.text(request.pointee.project)
                self.packHeader(of: request.pointee)
                self.batchProject = project
                defer { self.batchProject = nil }
                var operations = 0
                for index in 0 ..< request.pointee.n_operations {
                    guard let operation = request.pointee.operations[index] else { continue }
                    self.packer.path.push("operations")
                    self.packer.path.push(index: index)
                    operations += self.packItem(
                        operation.pointee, isBestEffort: request.pointee.best_effort != 0
                    ) { windows(project) }
                    self.packer.path.pop()
                    self.packer.path.pop()
                }
                return DecodedWrite(
                    project: project, kind: .batch, operations: operations,
                    itemCount: Self.itemCount(of: request.pointee))
            })
    }

    /// Packs everything but the writes; violations are noted.
    private func packHeader(of request: Profiles__V1__BatchWriteRequest) {
        self.checkProject(request.project)
        let requestID = self.requestID(request.request_id)
        if request.n_operations == 0 {
            self.packer.add(
                "none, 1 to \(WireLimits.batchOperationsMax) are needed", at: "operations")
        }
        self.markProject()
        BatchHeader(
            project: .unresolved, flags: request.best_effort != 0 ? .bestEffort : [],
            requestID: requestID, itemCount: request.n_operations
        ).write(into: &self.payload)
        let changeCount = Self.changeCount(of: request)
        if changeCount > Self.batchChangesMax {
            self.packer.add(
                "\(changeCount) subscription changes, "
                    + "at most \(Self.batchChangesMax) are allowed in a batch",
                at: "operations")
        }
    }

    /// Subscription changes of all writes.
    private static func changeCount(of request: Profiles__V1__BatchWriteRequest) -> Int {
        var count = 0
        for index in 0 ..< request.n_operations {
            guard let operation = request.operations[index]?.pointee,
                operation.operation_case
                    == PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION
            else { continue }
            count += operation.update_subscription.pointee.n_changes
        }
        return count
    }

    /// Items of all writes, for the accounting.
    private static func itemCount(of request: Profiles__V1__BatchWriteRequest) -> Int {
        var count = 0
        for index in 0 ..< request.n_operations {
            guard let operation = request.operations[index]?.pointee else { continue }
            switch operation.operation_case {
            case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
                count += Self.itemCount(of: operation.identify.pointee.attributes)
            case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK:
                count += operation.track.pointee.n_events
            case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
                count += operation.update_subscription.pointee.n_changes
            default: break
            }
        }
        return count
    }

    /// Packs one write, or its rejection; returns how many lsns it takes.
    private func packItem(
        _ operation: Profiles__V1__WriteOperation, isBestEffort: Bool,
        windows: () -> AdvisoryWindows
    ) -> Int {
        let before = self.packer.violations
        if isBestEffort { self.packer.violations.removeAll() }
        let start = self.payload.count
        let projectsBefore = self.projectOffsets.count
        let operations = self.packOperation(operation, windows: windows)
        guard isBestEffort else { return operations }
        let own = self.packer.violations
        self.packer.violations = before
        guard !own.isEmpty else { return operations }
        self.payload.truncate(to: start)
        self.projectOffsets.removeLast(self.projectOffsets.count - projectsBefore)
        let item = beginBatchItem(nil, in: &self.payload)
        own.append(to: &self.payload)
        endBatchItem(at: item, operations: 1, in: &self.payload)
        return 1
    }

    private func packOperation(
        _ operation: Profiles__V1__WriteOperation, windows: () -> AdvisoryWindows
    ) -> Int {
        var operations = 1
        switch operation.operation_case {
        case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
            let item = beginBatchItem(.identify, in: &self.payload)
            self.packer.path.push("identify")
            self.pack(operation.identify.pointee, isHistorical: false)
            endBatchItem(at: item, operations: 1, in: &self.payload)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK:
            let item = beginBatchItem(.track, in: &self.payload)
            operations = max(operation.track.pointee.n_events, 1)
            self.packer.path.push("track")
            self.pack(operation.track.pointee, windows: windows)
            endBatchItem(at: item, operations: operations, in: &self.payload)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
            let item = beginBatchItem(.updateSubscription, in: &self.payload)
            operations = max(operation.update_subscription.pointee.n_changes, 1)
            self.packer.path.push("update_subscription")
            self.pack(operation.update_subscription.pointee)
            endBatchItem(at: item, operations: operations, in: &self.payload)
            self.packer.path.pop()
        default: self.packer.add("no operation is set")
        }
        return operations
    }

    /// Subscription changes of one batch: each of them keeps a copy of its call's evidence, of up
    /// to 12 KiB.
    static let batchChangesMax = 1_000
}
