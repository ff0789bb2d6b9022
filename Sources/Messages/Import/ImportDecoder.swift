import Bytes
import CMessages
import Profiles

// SAFETY: what is returned borrows from the decoder's arena and from the message; both are valid
// until the next `decode`.

/// An ImportProfilesRequest but for its operations, which are decoded slice by slice:
/// `ImportChunk`. Borrowed.
package struct DecodedImport: DecodedRequest {
    package let project: UnsafeRawBufferPointer
    package let chunkID: UnsafeRawBufferPointer
    package let isValidation: Bool
    /// The request as it came.
    let message: UnsafeRawBufferPointer
    /// Offsets of the operations in the message.
    let operations: [Range<Int>]

    /// Counted only where the request is rejected.
    ///
    /// - Complexity: O(fields at the top levels).
    package var itemCount: Int {
        WireItemCounter.count(
            in: self.message, root: WireSchema.shared.importProfilesRequest.index)
    }
}

/// Where an operation of an import stands, and what its events are called.
struct ImportedOperation {
    /// Of the message; borrowed.
    var project: UnsafeRawBufferPointer
    var eventIDs: ImportEventIDs
    /// In the message.
    var index: Int

    /// Appends the id of an event that came without one, prefixed.
    func appendEventID(_ number: Int, to buffer: inout ByteBuffer) {
        buffer.append(UInt8(ImportEventIDs.bytes))
        self.eventIDs.write(
            operation: self.index, event: number,
            into: buffer.appendUninitialized(ImportEventIDs.bytes))
    }
}

/// What one packed operation of a chunk takes.
struct PackedOperation {
    /// lsns.
    var operations = 0
    /// Items, for the accounting.
    var items = 0
    /// Bytes of ledger entries.
    var ledgerBytes = 0
    /// Why validation rejected it; empty: it did not.
    var violations = Violations()
}

extension MessageDecoder {
    /// Decodes an ImportProfilesRequest but for its operations, which it finds.
    ///
    /// - Complexity: O(fields at the top level).
    package func decodeImport(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedImport> {
        let malformation = self.splitter.split(
            message, itemsIn: Self.operationsField, itemsMax: WireLimits.importOperationsMax)
        if let malformation { return .malformed(malformation) }
        let root = WireSchema.shared.importProfilesRequest
        let decoded: Decoded<DecodedImport> = self.decode(
            self.splitter.envelope.bytes, as: root
        ) { request in
            self.checkProject(request.pointee.project)
            let chunkID = self.id(request.pointee.chunk_id, "chunk_id")
            if chunkID.isEmpty {
                self.packer.add(
                    "missing, 1 to \(TextRules.idBytesMax) bytes are needed", at: "chunk_id")
            }
            let count = self.splitter.itemCount
            if count > WireLimits.importOperationsMax {
                self.packer.add(
                    "\(count) operations, at most \(WireLimits.importOperationsMax) are allowed",
                    at: "operations")
            }
            return DecodedImport(
                project: ValuePacker.text(request.pointee.project), chunkID: chunkID,
                isValidation: request.pointee.validate_only != 0, message: message,
                operations: self.splitter.items)
        }
        guard case .invalid(let violations, _) = decoded else { return decoded }
        return .invalid(
            violations, items: WireItemCounter.count(in: message, root: root.index))
    }

    /// Checks, validates and packs one operation of an import as an item of a part; an invalid one
    /// becomes a rejected item without its violations.
    ///
    /// - Parameter payload: Gets the item, of project `project`.
    func packImported(
        _ message: UnsafeRawBufferPointer, _ operation: ImportedOperation, project: ProjectID,
        into payload: inout ByteBuffer
    ) -> PackedOperation {
        if let plain = self.plainTracks.read(message, of: operation) {
            let start = beginBatchItem(.track, in: &payload)
            payload.append(self.plainTracks.payload.bytes)
            // The first field of the payload (`TrackHeader`).
            payload.patch(project.rawValue, at: start + RecordFormat.headerBytes)
            endBatchItem(at: start, operations: plain.eventCount, in: &payload)
            return PackedOperation(operations: plain.eventCount, items: plain.eventCount)
        }
        return self.packAnyImported(message, operation, project: project, into: &payload)
    }

    /// As `packImported`, always through protobuf-c.
    func packAnyImported(
        _ message: UnsafeRawBufferPointer, _ operation: ImportedOperation, project: ProjectID,
        into payload: inout ByteBuffer
    ) -> PackedOperation {
        self.imported = operation
        self.batchProject = operation.project
        defer { (self.imported, self.batchProject) = (nil, nil) }
        self.arena.reset()
        self.beginPayload()
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        self.packer.path.push("operations")
        self.packer.path.push(index: operation.index)
        var tally = BatchTally()
        let violations = self.packItem(message, &tally, .isRejectedAlone) {
            preconditionFailure("an invalid operation of an import rejects itself alone")
        }
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        let start = payload.count
        if violations.isEmpty {
            payload.append(self.payload.bytes)
            for offset in self.projectOffsets {
                payload.patch(project.rawValue, at: start + offset)
            }
        } else {
            appendRejectedItem(to: &payload)
        }
        return PackedOperation(
            operations: tally.operations, items: tally.items, ledgerBytes: tally.ledgerBytes,
            violations: violations)
    }
}

/// Appends an item that validation rejected, without its violations.
private func appendRejectedItem(to payload: inout ByteBuffer) {
    let start = beginBatchItem(nil, in: &payload)
    payload.appendVarint(0)
    endBatchItem(at: start, operations: 1, in: &payload)
}
