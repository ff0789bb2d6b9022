import Bytes

// A Track in two passes: the first decides the outcome of the call and of each event and changes
// nothing that a reader sees; the second (Store+TrackCommit.swift) cannot fail. Order of checks:
// blocked identifier, replay, `expected_revision`, existence, then each event. Source:
// docs/rules.md, sections 1 and 3.
//
// SAFETY: `work` is one element that `Store` owns; `pending` has `TrackWork.eventsMax` elements,
// and a record's count of events is a byte. Only the applier follows them.

/// What a Track is about, as found before its events are looked at.
struct TrackTarget {
    var header: TrackHeader
    var identifierHash: UInt64
    /// What the prefetch found out; `nil`: nothing.
    var expected: UnsafePointer<ExpectedTrack>?
    /// `nil`: no profile has the identifier yet.
    var profile: ProfileRef?
    /// It was reached through an alias.
    var isAlias = false
}

extension Store {
    /// Carries out one Track.
    func track(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        var reader = ByteReader(record.payload)
        guard let header = TrackHeader(from: &reader), Self.isWellFormed(header, record) else {
            throw .malformed(lsn: call.firstLSN)
        }
        try self.readEvents(header, &reader, record, call)

        let expected = self.expected(call)
        let identifierHash =
            expected?.pointee.identifierHash
            ?? self.hash.identifier(header.project, header.identifier)
        let head = CommandHead(
            kind: .track, project: header.project, requestID: header.requestID,
            first: CommandHead.Subject(identifier: header.identifier, hash: identifierHash),
            sentAt: header.sentAtField)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let target = TrackTarget(
            header: header, identifierHash: identifierHash, expected: expected,
            profile: admitted.first?.profile,
            isAlias: admitted.first?.isAlias ?? false)
        if let rejection = self.rejectByState(target) {
            return self.appendRejection(
                rejection.reason, .track, call, detail: rejection.detail, into: &results)
        }

        let namesBefore = self.project.names.count
        guard self.evaluateEvents(target, call) else {
            self.project.names.truncate(to: namesBefore)
            throw .malformed(lsn: call.firstLSN)
        }
        let partial = header.flags.contains(.allowPartial)
        if !partial, let bad = self.firstBadEvent(header.eventCount) {
            self.project.names.truncate(to: namesBefore)
            return self.appendEventRejections(header.eventCount, bad, call, into: &results)
        }
        let start = results.count
        let holder = self.commit(target, call)
        self.appendResponse(target, holder, call, into: &results)
        self.end(admitted, results, from: start, call)
    }

    private static func isWellFormed(_ header: TrackHeader, _ record: RecordView) -> Bool {
        guard header.eventCount > 0, header.eventCount == record.operations else { return false }
        guard header.requestID.count <= RequestDeduplication.idBytesMax else { return false }
        switch header.identifier.kind {
        case .profileID: return header.identifier.bytes.count == ProfileID.binaryBytes
        case .customID, .installationID:
            return 1 ... Int(UInt16.max) ~= header.identifier.bytes.count
        }
    }

    private func readEvents(
        _ header: TrackHeader, _ reader: inout ByteReader, _ record: RecordView, _ call: CallContext
    ) throws(ApplyError) {
        for number in 0 ..< header.eventCount {
            guard let event = TrackEventView(from: &reader, in: record.payload) else {
                throw .malformed(lsn: call.firstLSN)
            }
            var pending = PendingEvent()
            pending.flags = event.flags
            pending.eventID = event.eventID
            pending.content = event.content
            pending.violations = event.violations
            pending.lsn = call.firstLSN + UInt64(number)
            pending.effectiveTime = event.occurredAt
            self.work.pointee.pending[number] = pending
        }
        guard reader.isAtCleanEnd else { throw .malformed(lsn: call.firstLSN) }
    }

    private func rejectByState(_ target: TrackTarget) -> (reason: Rejection, detail: UInt64)? {
        let header = target.header
        if header.flags.contains(.hasExpectedRevision) {
            let revision = target.profile.map { self.pool.header($0).pointee.revision } ?? 0
            guard revision == header.expectedRevision else { return (.revisionMismatch, revision) }
        }
        let mayCreate = !header.flags.contains(.mustExist) && header.identifier.kind != .profileID
        guard target.profile != nil || mayCreate else { return (.profileNotFound, 0) }
        return nil
    }

    /// The event that decides the code of a rejected call: the first malformed one, else the first
    /// bad one.
    private func firstBadEvent(_ count: Int) -> Int? {
        var first: Int?
        for number in 0 ..< count where self.work.pointee.pending[number].outcome == .rejected {
            if self.work.pointee.pending[number].rejection == .invalidFields { return number }
            first = first ?? number
        }
        return first
    }
}
