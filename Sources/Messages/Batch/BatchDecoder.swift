import Bytes
import CMessages
import Profiles

/// A decoded BatchWriteRequest, in the arena; valid until the decoder is used again.
package struct DecodedBatch {
    let request: UnsafeMutablePointer<Profiles__V1__BatchWriteRequest>

    /// The project's name, as sent.
    package var project: UnsafeRawBufferPointer { ValuePacker.text(self.request.pointee.project) }

    /// Subscription changes of all writes.
    var changeCount: Int {
        var count = 0
        for index in 0 ..< self.request.pointee.n_operations {
            guard let operation = self.request.pointee.operations[index]?.pointee,
                operation.operation_case
                    == PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION
            else { continue }
            count += operation.update_subscription.pointee.n_changes
        }
        return count
    }

    /// Items of all writes, for the accounting.
    package var itemCount: Int {
        var count = 0
        for index in 0 ..< self.request.pointee.n_operations {
            guard let operation = self.request.pointee.operations[index]?.pointee else { continue }
            switch operation.operation_case {
            case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
                count += DecodedIdentify.itemCount(operation.identify.pointee.attributes)
            case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK:
                count += operation.track.pointee.n_events
            case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
                count += operation.update_subscription.pointee.n_changes
            default: break
            }
        }
        return count
    }
}

extension MessageDecoder {
    /// Decodes a BatchWriteRequest, bounded and checked on the wire, but not yet validated.
    package func decodeBatch(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedBatch> {
        self.decode(message, root: WireSchema.shared.batchWriteRequest) { allocator, count, bytes in
            profiles__v1__batch_write_request__unpack(allocator, count, bytes).map {
                DecodedBatch(request: $0)
            }
        }
    }

    /// Validates a batch and appends its record. With `best_effort` a malformed write becomes a
    /// refused item of the record; any other violation refuses the call and leaves `buffer` as it
    /// was.
    ///
    /// - Parameter project: `nil`: the project is unknown; its name may be no name at all.
    /// - Returns: The violations, none if the record was written.
    package func writeBatch(
        _ batch: DecodedBatch, project: ProjectID?, windows: AdvisoryWindows,
        into buffer: inout ByteBuffer
    ) -> Violations {
        let request = batch.request.pointee
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        let start = beginRecord(.batch, in: &buffer)
        self.checkProject(request.project)
        let requestID = self.requestID(request.request_id)
        if request.n_operations == 0 {
            self.packer.add(
                "none, 1 to \(WireLimits.batchOperationsMax) are needed", at: "operations")
        }
        let isBestEffort = request.best_effort != 0
        BatchHeader(
            project: project ?? ProjectID(rawValue: 0), flags: isBestEffort ? .bestEffort : [],
            requestID: requestID,
            itemCount: request.n_operations
        ).write(into: &buffer)
        if batch.changeCount > Self.batchChangesMax {
            self.packer.add(
                "\(batch.changeCount) subscription changes, at most \(Self.batchChangesMax) are "
                    + "allowed in a batch",
                at: "operations")
        }
        self.batchProject = batch.project
        defer { self.batchProject = nil }
        var operations = 0
        for index in 0 ..< request.n_operations {
            guard let operation = request.operations[index] else { continue }
            self.packer.path.push("operations")
            self.packer.path.push(index: index)
            operations += self.writeItem(
                operation.pointee, project: project ?? ProjectID(rawValue: 0), windows,
                isBestEffort: isBestEffort, into: &buffer)
            self.packer.path.pop()
            self.packer.path.pop()
        }
        guard self.packer.violations.isEmpty else {
            buffer.truncate(to: start)
            return self.packer.violations
        }
        endRecord(at: start, operations: operations, in: &buffer)
        return Violations()
    }

    /// Appends one write, or its refusal; returns how many lsns it takes.
    private func writeItem(
        _ operation: Profiles__V1__WriteOperation, project: ProjectID, _ windows: AdvisoryWindows,
        isBestEffort: Bool,
        into buffer: inout ByteBuffer
    ) -> Int {
        let before = self.packer.violations
        if isBestEffort { self.packer.violations.removeAll() }
        let start = buffer.count
        var operations = 1
        switch operation.operation_case {
        case PROFILES__V1__WRITE_OPERATION__OPERATION_IDENTIFY:
            let item = beginBatchItem(.identify, in: &buffer)
            self.packer.path.push("identify")
            self.write(
                operation.identify.pointee, project: project, isHistorical: false, into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_TRACK:
            let item = beginBatchItem(.track, in: &buffer)
            operations = max(operation.track.pointee.n_events, 1)
            self.packer.path.push("track")
            self.write(operation.track.pointee, project: project, windows, into: &buffer)
            endBatchItem(at: item, operations: operations, in: &buffer)
            self.packer.path.pop()
        case PROFILES__V1__WRITE_OPERATION__OPERATION_UPDATE_SUBSCRIPTION:
            let item = beginBatchItem(.updateSubscription, in: &buffer)
            operations = max(operation.update_subscription.pointee.n_changes, 1)
            self.packer.path.push("update_subscription")
            self.write(operation.update_subscription.pointee, project: project, into: &buffer)
            endBatchItem(at: item, operations: operations, in: &buffer)
            self.packer.path.pop()
        default: self.packer.add("no operation is set")
        }
        guard isBestEffort else { return operations }
        let own = self.packer.violations
        self.packer.violations = before
        guard !own.isEmpty else { return operations }
        buffer.truncate(to: start)
        let item = beginBatchItem(nil, in: &buffer)
        Self.append(own, into: &buffer)
        endBatchItem(at: item, operations: 1, in: &buffer)
        return 1
    }

    /// Appends `count: varint | (path, description: prefixed) each`, of the first ones.
    static func append(_ violations: Violations, into buffer: inout ByteBuffer) {
        let listed = violations.list.prefix(Self.violationsPerItemMax)
        buffer.appendVarint(UInt64(listed.count))
        for violation in listed {
            for var text in [violation.path, violation.description] {
                text.withUTF8 { buffer.appendPrefixed(UnsafeRawBufferPointer($0)) }
            }
        }
    }

    /// Reads what `append` wrote; empty bytes are none.
    static func violations(_ bytes: UnsafeRawBufferPointer) -> Violations {
        var violations = Violations()
        var reader = ByteReader(bytes)
        for _ in 0 ..< (bytes.isEmpty ? 0 : reader.readVarint()) {
            let path = String(decoding: reader.readPrefixed(), as: UTF8.self)
            violations.add(
                Violation(
                    path: path, description: String(decoding: reader.readPrefixed(), as: UTF8.self))
            )
        }
        return violations
    }

    /// Subscription changes of one batch: each of them keeps a copy of its call's evidence, of up
    /// to 12 KiB.
    static let batchChangesMax = 1_000
    /// Violations kept with one refused item or event.
    private static let violationsPerItemMax = 8
}
