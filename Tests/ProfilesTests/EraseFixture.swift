import Bytes

@testable import Profiles

/// A result of an erasure, taken apart.
struct EraseResponse: Equatable {
    var rejection = Rejection.none
    var isReplayed = false
    var detail: UInt64 = 0
    var existed = false
    var logPurgeDue: Int64 = 0

    init?(_ bytes: [UInt8]) {
        let isWhole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.totalBytes == bytes.count,
                header.kind == .erase
            else { return false }
            (self.rejection, self.isReplayed, self.detail) = (
                header.rejection, header.flags.contains(.replayed), header.detail
            )
            guard header.rejection == .none else { return true }
            guard let body = EraseResultBody(from: &reader) else { return false }
            (self.existed, self.logPurgeDue) = (body.existed, body.logPurgeDue)
            return reader.isAtCleanEnd
        }
        guard isWhole else { return nil }
    }
}

extension TrackFixture {
    func eraseRecord(
        _ kind: IdentifierKind, _ identifier: [UInt8], requestID: String = "",
        expectedRevision: UInt64? = nil
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.erase, in: &buffer)
        identifier.withUnsafeBytes { identifier in
            withBytes(requestID) { requestID in
                self.store.withEraseCommand(
                    ProjectID(rawValue: self.project),
                    IdentifierView(kind: kind, bytes: identifier), requestID: requestID,
                    expectedRevision: expectedRevision
                ) { $0.write(into: &buffer) }
            }
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    @discardableResult
    func erase(
        _ kind: IdentifierKind, _ identifier: [UInt8], requestID: String = "",
        expectedRevision: UInt64? = nil, after: Int64 = 0
    ) throws -> EraseResponse {
        self.now += after
        let record = self.eraseRecord(
            kind, identifier, requestID: requestID, expectedRevision: expectedRevision)
        guard let response = EraseResponse(try self.apply(record)) else {
            throw ApplyError.malformed(lsn: 0)
        }
        return response
    }

    @discardableResult
    func erase(_ customID: String, requestID: String = "", after: Int64 = 0) throws -> EraseResponse
    {
        try self.erase(.customID, Array(customID.utf8), requestID: requestID, after: after)
    }

    /// The rejection of an Identify or a batch, and its detail.
    func outcome(_ record: [UInt8]) throws -> (rejection: Rejection, detail: UInt64) {
        let bytes = try self.apply(record)
        let header = bytes.withUnsafeBytes { bytes -> ResultHeader? in
            var reader = ByteReader(bytes)
            return ResultHeader(from: &reader)
        }
        guard let header else { throw ApplyError.malformed(lsn: 0) }
        return (header.rejection, header.detail)
    }

    func batch(_ tracks: [TrackSpec], requestID: String = "", isBestEffort: Bool = false) -> [UInt8]
    {
        var buffer = ByteBuffer()
        let start = beginRecord(.batch, in: &buffer)
        withBytes(requestID) {
            BatchHeader(
                project: ProjectID(rawValue: 1), flags: isBestEffort ? .bestEffort : [],
                requestID: $0, itemCount: tracks.count
            ).write(into: &buffer)
        }
        for spec in tracks {
            let item = beginBatchItem(.track, in: &buffer)
            spec.record.withUnsafeBytes { record in
                if let view = RecordView(record) { buffer.append(view.payload) }
            }
            endBatchItem(at: item, operations: spec.events.count, in: &buffer)
        }
        endRecord(at: start, operations: tracks.reduce(0) { $0 + $1.events.count }, in: &buffer)
        return Array(buffer.bytes)
    }

    /// Applies the whole log to another store, and says whether all results are the same.
    func replayed(limits: StoreLimits = StoreLimits(), hashMask: UInt64 = .max) throws -> (
        store: Store, isSame: Bool
    ) {
        let other = TrackFixture(limits: limits, hashMask: hashMask)
        var isSame = true
        for entry in self.log {
            let result = try Self.apply(
                entry.record, to: other.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            isSame = isSame && result == entry.result
        }
        return (other.store, isSame)
    }

    /// Whether the text is anywhere in the slab, in a block in use or a free one.
    func slabContains(_ text: String) -> Bool {
        let wanted = Array(text.utf8)
        var isThere = false
        self.store.slab.forEachChunk { chunk in
            var index = 0
            while !isThere, index + wanted.count <= chunk.count {
                if chunk[index] == wanted[0],
                    chunk[index ..< index + wanted.count].elementsEqual(wanted)
                {
                    isThere = true
                }
                index += 1
            }
        }
        return isThere
    }
}
