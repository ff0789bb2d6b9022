import Bytes
import Profiles

// SAFETY: slices are of the chunk's own buffers, by ranges that were cut from them, and are used
// before the buffers change.

/// One message of an import on its way into the log: decoded slice by slice, so that other calls
/// get their turn, then cut into parts of bounded size.
///
/// A part carries the content of the whole chunk, so none is complete before the last operation is
/// packed. What validation says of rejected operations stays here and not in the log: whoever sends
/// the chunk again sends what it can be told from again. Used by one loop's thread.
package final class ImportChunk {
    /// Operations of one part.
    struct Part {
        /// Index of the first one in the chunk, and how many.
        var firstItem: Int
        var itemCount = 0
        /// Of the items in `payload`.
        var bytes: Range<Int>
        /// lsns.
        var operations = 0
        /// Items, for the accounting.
        var items = 0
        var ledgerBytes = 0
    }

    /// Bounds of one part; tests cut smaller ones.
    package struct PartLimits: Sendable {
        package var operationsMax = ImportLimits.partOperationsMax
        package var bytesMax = ImportLimits.partBytesMax
        var ledgerBytesMax = ImportLimits.partLedgerBytesMax

        package init() {}

        /// Of a validation, which is one part if a record can be as large.
        static let ofValidation: PartLimits = {
            var limits = PartLimits()
            limits.operationsMax = ImportLimits.validationOperationsMax
            limits.bytesMax = RecordFormat.payloadBytesMax / 2
            limits.ledgerBytesMax = MessageDecoder.batchLedgerBytesMax
            return limits
        }()
    }

    package let isValidation: Bool
    package let project: ProjectID
    private let chunkID: [UInt8]
    private let projectName: [UInt8]
    private let limits: PartLimits
    private let eventIDs: ImportEventIDs
    private var content: ImportContent
    /// The request, until all of it is packed.
    private var message: ByteBuffer
    private let buffers: ImportBuffers
    private var operations: [Range<Int>]
    /// Operations that are packed.
    private var packed = 0
    private var payload: ByteBuffer
    private(set) var parts: [Part] = []
    /// Operations that validation rejected, and what is wrong with them, packed; the first
    /// `ImportLimits.rejectionsMax`.
    private var rejected: [(index: Int, violations: Range<Int>)] = []
    private var violations = ByteBuffer()

    /// Keeps a copy of the request.
    package init(
        _ request: DecodedImport, project: ProjectID, eventIDs: ImportEventIDs,
        content: ImportContent, limits: PartLimits = PartLimits(),
        buffers: ImportBuffers = ImportBuffers()
    ) {
        self.isValidation = request.isValidation
        self.project = project
        self.chunkID = Array(request.chunkID)
        self.projectName = Array(request.project)
        self.limits = request.isValidation ? .ofValidation : limits
        self.eventIDs = eventIDs
        self.content = content
        self.buffers = buffers
        self.message = buffers.takeMessage(bytes: request.message.count)
        self.message.append(request.message)
        self.operations = request.operations
        self.operationCount = request.operations.count
        // Headers of items and of Tracks, and ids of events, are longer than on the wire.
        self.payload = buffers.takePayload(
            bytes: request.message.count + request.operations.count * Self.overheadBytes)
    }

    deinit {
        var payload = ByteBuffer()
        swap(&payload, &self.payload)
        self.buffers.give(payload: payload)
    }

    /// What an item with one event takes more than its message, in bytes.
    private static let overheadBytes = 48

    package let operationCount: Int

    package var isPacked: Bool { self.packed == self.operationCount && !self.parts.isEmpty }

    package var partCount: Int { self.parts.count }

    /// Bytes of the largest slice of a chunk that is packed at once: some 300 µs of a loop.
    package static let sliceBytes = 64 << 10
    /// Operations of such a slice: empty ones have no bytes.
    private static let sliceOperations = 512

    // MARK: Packing

    /// Packs the next operations.
    ///
    /// - Returns: Whether all of them are.
    package func packSlice(with decoder: MessageDecoder) -> Bool {
        var bytes = 0
        let end = min(self.operationCount, self.packed + Self.sliceOperations)
        while self.packed < end, bytes < Self.sliceBytes {
            bytes += self.operations[self.packed].count
            self.packNext(with: decoder)
        }
        guard self.packed == self.operationCount else { return false }
        if self.parts.isEmpty { self.parts.append(Part(firstItem: 0, bytes: 0 ..< 0)) }
        // Up to another message, at most as much again.
        var message = ByteBuffer()
        swap(&message, &self.message)
        self.buffers.give(message: message)
        self.operations = []
        return true
    }

    private func packNext(with decoder: MessageDecoder) {
        let start = self.payload.count
        let index = self.packed
        let packed = self.projectName.withUnsafeBytes { name in
            decoder.packImported(
                UnsafeRawBufferPointer(rebasing: self.message.bytes[self.operations[index]]),
                ImportedOperation(project: name, eventIDs: self.eventIDs, index: index),
                project: self.project, into: &self.payload)
        }
        self.packed += 1
        self.content.add(UnsafeRawBufferPointer(rebasing: self.payload.bytes[start...]))
        if !packed.violations.isEmpty { self.noteRejection(at: index, packed.violations) }
        self.add(packed, bytes: self.payload.count - start)
    }

    /// Adds an operation to the last part, or begins a new one with it.
    private func add(_ operation: PackedOperation, bytes: Int) {
        let last = self.parts.count - 1
        let fits =
            last >= 0
            && self.parts[last].operations + operation.operations <= self.limits.operationsMax
            && self.parts[last].bytes.count + bytes <= self.limits.bytesMax
            && self.parts[last].ledgerBytes + operation.ledgerBytes <= self.limits.ledgerBytesMax
        let end = self.payload.count
        if !fits {
            self.parts.append(Part(firstItem: self.packed - 1, bytes: end - bytes ..< end - bytes))
        }
        let index = self.parts.count - 1
        self.parts[index].itemCount += 1
        self.parts[index].bytes = self.parts[index].bytes.lowerBound ..< end
        self.parts[index].operations += operation.operations
        self.parts[index].items += operation.items
        self.parts[index].ledgerBytes += operation.ledgerBytes
    }

    private func noteRejection(at index: Int, _ violations: Violations) {
        let start = self.violations.count
        violations.append(to: &self.violations)
        // The content of the chunk, too: two messages that are wrong in different ways differ.
        self.content.absorb(UnsafeRawBufferPointer(rebasing: self.violations.bytes[start...]))
        guard self.rejected.count < ImportLimits.rejectionsMax else {
            return self.violations.truncate(to: start)
        }
        self.rejected.append((index, start ..< self.violations.count))
    }

    // MARK: Parts

    /// lsns that the record of a part takes.
    package func operations(ofPart index: Int) -> Int { max(self.parts[index].operations, 1) }

    /// Items of a part, for the accounting: a validation has none.
    package func items(ofPart index: Int) -> Int {
        self.isValidation ? 0 : self.parts[index].items
    }

    /// What the quota of a key counts.
    package func updates(ofPart index: Int) -> Int { self.parts[index].itemCount }

    /// The first part with an operation behind the first `done`; `nil`: there is none.
    package func part(behind done: Int) -> Int? {
        self.parts.firstIndex { $0.firstItem + $0.itemCount > done }
    }

    /// Appends the payload of the record of a part.
    package func writePart(_ index: Int, into buffer: inout ByteBuffer) {
        let part = self.parts[index]
        self.chunkID.withUnsafeBytes { id in
            ImportPartHeader(
                project: self.project, flags: self.isValidation ? .validateOnly : [], chunkID: id,
                content: self.content.fingerprint, chunkItems: self.operationCount,
                firstItem: part.firstItem, itemCount: part.itemCount
            ).write(into: &buffer)
        }
        buffer.append(UnsafeRawBufferPointer(rebasing: self.payload.bytes[part.bytes]))
    }

    // MARK: The response

    /// What validation found wrong with an operation.
    func violations(ofOperation index: Int) -> Violations {
        // Ascending by index.
        var low = 0
        var high = self.rejected.count
        while low < high {
            let middle = (low + high) / 2
            if self.rejected[middle].index < index { low = middle + 1 } else { high = middle }
        }
        guard low < self.rejected.count, self.rejected[low].index == index else {
            return Violations()
        }
        return Violations(
            packed: UnsafeRawBufferPointer(
                rebasing: self.violations.bytes[self.rejected[low].violations]))
    }

    func withChunkID(_ body: (UnsafeRawBufferPointer) -> Void) {
        self.chunkID.withUnsafeBytes(body)
    }
}
