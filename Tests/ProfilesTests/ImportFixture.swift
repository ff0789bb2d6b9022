import Bytes

@testable import Profiles

/// An operation of a chunk as a test says it.
enum ImportItem {
    case track(TrackSpec)
    case identify(IdentifySpec)
    case consent(ImportedConsent)
    /// Refused by validation.
    case invalid

    /// Appends the item, and returns how many lsns it takes.
    func write(into buffer: inout ByteBuffer) -> Int {
        switch self {
        case .track(let spec):
            let item = beginBatchItem(.track, in: &buffer)
            let historical = spec.with { $0.flags.insert(.historical) }
            historical.record.withUnsafeBytes { record in
                if let view = RecordView(record) { buffer.append(view.payload) }
            }
            endBatchItem(at: item, operations: spec.events.count, in: &buffer)
            return spec.events.count
        case .identify(var spec):
            spec.isHistorical = true
            let item = beginBatchItem(.identify, in: &buffer)
            spec.write(into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
            return 1
        case .consent(let consent):
            let item = beginBatchItem(.updateSubscription, in: &buffer)
            consent.write(into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
            return 1
        case .invalid:
            let item = beginBatchItem(nil, in: &buffer)
            buffer.appendVarint(0)
            endBatchItem(at: item, operations: 1, in: &buffer)
            return 1
        }
    }
}

extension ImportItem {
    /// The same as a call.
    var record: [UInt8] {
        var item = ByteBuffer()
        let operations = self.write(into: &item)
        let kind: RecordKind =
            switch self {
            case .track: .track
            case .identify: .identify
            case .consent: .updateSubscription
            case .invalid: preconditionFailure("no call is like it")
            }
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        buffer.append(UnsafeRawBufferPointer(rebasing: item.bytes[RecordFormat.headerBytes...]))
        endRecord(at: start, operations: operations, in: &buffer)
        return Array(buffer.bytes)
    }
}

/// One change of consent of an import.
struct ImportedConsent {
    var customID = "ann"
    var state = SubscriptionState.subscribed
    var source = ConsentSource.user
    var occurredAt: Int64?
    var reference = ""

    func write(into buffer: inout ByteBuffer) {
        withBytes(self.customID) { identifier in
            withBytes(self.reference) { reference in
                SubscriptionHeader(
                    project: ProjectID(rawValue: 1), source: self.source, changeCount: 1,
                    identifier: IdentifierView(kind: .customID, bytes: identifier),
                    requestID: .none, occurredAt: self.occurredAt, sentAt: nil,
                    expectedRevision: nil,
                    evidence: reference.isEmpty
                        ? nil
                        : EvidenceView(
                            method: .none, ip: .none, userAgent: .none, textVersion: .none,
                            actor: .none, reference: reference),
                    isImported: true
                ).write(into: &buffer)
            }
        }
        SubscriptionChangeView(channel: .email, topic: .none, state: self.state)
            .write(into: &buffer)
    }
}

/// A chunk as a test says it, cut into parts of as many operations.
struct ImportSpec {
    var chunkID = "c1"
    var items: [ImportItem] = []
    var isValidation = false
    var itemsPerPart = 2

    /// One event each of as many people.
    static func events(_ count: Int, id: String = "c1", itemsPerPart: Int = 2) -> ImportSpec {
        ImportSpec(
            chunkID: id,
            items: (0 ..< count).map { number in
                .track(TrackSpec("p\(number % 5)", [EventSpec(id: "e\(id)-\(number)")]))
            }, itemsPerPart: itemsPerPart)
    }

    func content(of store: Store) -> Fingerprint {
        var content = store.importContent()
        for item in self.items {
            var buffer = ByteBuffer()
            _ = item.write(into: &buffer)
            content.add(buffer.bytes)
        }
        return content.fingerprint
    }

    /// The record of operations of the chunk.
    func part(_ range: Range<Int>, for store: Store) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.importPart, in: &buffer)
        withBytes(self.chunkID) {
            ImportPartHeader(
                project: ProjectID(rawValue: 1), flags: self.isValidation ? .validateOnly : [],
                chunkID: $0, content: self.content(of: store), chunkItems: self.items.count,
                firstItem: range.lowerBound, itemCount: range.count
            ).write(into: &buffer)
        }
        var operations = 0
        for item in self.items[range] { operations += item.write(into: &buffer) }
        endRecord(at: start, operations: max(operations, 1), in: &buffer)
        return Array(buffer.bytes)
    }

    var ranges: [Range<Int>] {
        guard !self.items.isEmpty else { return [0 ..< 0] }
        return stride(from: 0, to: self.items.count, by: self.itemsPerPart).map {
            $0 ..< min($0 + self.itemsPerPart, self.items.count)
        }
    }
}

/// The result of a part, taken apart.
struct ImportResponse: Equatable {
    var rejection = Rejection.none
    var isReplayed = false
    var lsn: UInt64 = 0
    var body = ImportResultBody()

    init?(_ bytes: [UInt8]) {
        let isWhole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.kind == .importPart,
                header.totalBytes == bytes.count
            else { return false }
            (self.rejection, self.lsn) = (header.rejection, header.lsn)
            self.isReplayed = header.isReplayed
            guard header.rejection == .none else { return true }
            guard let body = ImportResultBody(from: &reader) else { return false }
            self.body = body
            return reader.isAtCleanEnd
        }
        guard isWhole else { return nil }
    }

    /// Applied, unchanged and rejected operations; empty: the chunk is not complete.
    var counts: [Int] {
        self.body.counts.map { [$0.applied, $0.unchanged, $0.rejected] } ?? []
    }
}

extension TrackFixture {
    @discardableResult
    func importPart(_ spec: ImportSpec, _ range: Range<Int>) throws -> ImportResponse {
        let bytes = try self.apply(spec.part(range, for: self.store))
        guard let response = ImportResponse(bytes) else { throw ApplyError.malformed(lsn: 0) }
        return response
    }

    /// Applies the parts from one on, as one stream does, and returns the last result.
    @discardableResult
    func importChunk(_ spec: ImportSpec, parts: Range<Int>? = nil) throws -> ImportResponse? {
        var last: ImportResponse?
        for range in spec.ranges[parts ?? 0 ..< spec.ranges.count] {
            self.now += 1
            last = try self.importPart(spec, range)
        }
        return last
    }
}
