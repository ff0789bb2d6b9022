import Bytes

// The parts of a chunk of an import. A part does what a best-effort batch does, and remembers with
// the request ids which operations of its chunk are done and how they ended: whoever sends the
// chunk again continues behind them. Nothing is kept of a part alone, so what is durable of a chunk
// is a prefix of it. Source: docs/rules.md, section 6, ImportProfiles;
// docs/decisions/0460-chunks-in-parts.md.
//
// SAFETY: `undo`, `work` and `state` are one element each that `Store` owns; only the applier,
// which runs this file, follows them.

extension Store {
    /// Carries out the operations of one part that are not done yet.
    ///
    /// Result: an `ImportResultBody`. Rejected as a whole: `.requestIDReused` if the chunk has
    /// another content, `.limitExceeded` if operations before this part are not known to be done.
    func importPart(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        var reader = ByteReader(record.payload)
        guard let header = ImportPartHeader(from: &reader),
            Self.areWellFormed(reader, header, record)
        else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .importPart, project: header.project, requestID: .none)
        guard case .proceed = self.begin(head, record, call, results: &results) else { return }
        guard !header.flags.contains(.validateOnly) else {
            return try self.validate(header, reader, call, results: &results)
        }
        let hash = self.hash.request(header.project, .importPart, header.chunkID)
        let known = self.knownChunk(header, hash: hash, now: call.clock)
        guard !known.isOther else {
            return self.appendRejection(.requestIDReused, .importPart, call, into: &results)
        }
        guard header.firstItem <= known.done else {
            // The project remembers fewer request ids than the chunk has parts, or none.
            return self.appendRejection(
                .limitExceeded, .importPart, call,
                detail: UInt64(self.limits.requestIDsPerProject), into: &results)
        }
        try self.carryOut(header, reader, known, hash: hash, call, results: &results)
    }

    /// Whether the items are whole, of the project, and have as many lsns as the record.
    private static func areWellFormed(
        _ items: ByteReader, _ header: ImportPartHeader, _ record: RecordView
    ) -> Bool {
        var reader = items
        var operations = 0
        for _ in 0 ..< header.itemCount {
            guard let item = BatchItemView(from: &reader),
                item.kind == nil || item.names(header.project)
            else { return false }
            operations += item.record.operations
        }
        return reader.isAtCleanEnd && max(operations, 1) == record.operations
    }

    // MARK: What is known

    /// What is remembered of a chunk.
    private struct KnownChunk {
        var isKnown = false
        /// It was sent with other operations.
        var isOther = false
        /// Operations that are done, from the first one on.
        var done = 0
        /// How they ended.
        var counts = ImportCounts()
        /// Of the newest part.
        var lsn: UInt64 = 0
    }

    /// - Complexity: O(parts of the chunk).
    private func knownChunk(
        _ header: ImportPartHeader, hash: UInt64, now: Int64
    ) -> KnownChunk {
        var known = KnownChunk()
        var entries: [ImportEntry] = []
        self.requests.forEach(
            header.project, .importPart, header.chunkID, hash: hash, now: now
        ) { found in
            known.isKnown = true
            known.isOther = known.isOther || found.fingerprint != header.content
            if let entry = ImportEntry(found.response) { entries.append(entry) }
        }
        // One of its parts may have been forgotten before the ones behind it.
        entries.sort { ($0.firstItem, $0.lsn) < ($1.firstItem, $1.lsn) }
        for entry in entries where entry.firstItem == known.done {
            known.done = entry.endItem
            known.counts.add(entry.counts)
            known.lsn = max(known.lsn, entry.lsn)
        }
        #if CANARIES
            if Canary.importRepeated.isActive { known.done = min(known.done, header.firstItem) }
        #endif
        return known
    }

    // MARK: Carrying out

    private func carryOut(
        _ header: ImportPartHeader, _ items: ByteReader, _ known: KnownChunk, hash: UInt64,
        _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        let end = header.firstItem + header.itemCount
        var body = ImportResultBody()
        body.skipped = min(known.done, end) - header.firstItem
        body.done = max(known.done, end)
        var counts = known.counts
        var isReplayed = true
        if end > known.done || !known.isKnown {
            isReplayed = false
            var tally = ImportTally(
                rejectionsMax: ImportLimits.rejectionsMax - known.counts.rejections.count)
            try self.apply(
                items, header, from: known.done, call, &tally, scratch: &results)
            body.add(tally)
            counts.add(tally.counts)
            self.remember(
                ImportEntry(
                    lsn: call.lsn, firstItem: known.done, itemCount: end - known.done,
                    counts: tally.counts),
                header, hash: hash, call)
        }
        if body.done == header.chunkItems { body.counts = counts }
        let start = ResultHeader(
            rejection: .none, flags: isReplayed ? .replayed : [], kind: .importPart,
            lsn: isReplayed ? known.lsn : call.lsn
        ).begin(in: &results)
        body.write(into: &results)
        ResultHeader.end(at: start, in: &results)
    }

    private func remember(
        _ entry: ImportEntry, _ header: ImportPartHeader, hash: UInt64, _ call: CallContext
    ) {
        self.work.pointee.part.removeAll()
        entry.write(into: &self.work.pointee.part)
        self.requests.remember(
            self.project, .importPart, header.chunkID, hash: hash, fingerprint: header.content,
            response: self.work.pointee.part.bytes, receivedAt: call.receivedAt, now: call.clock)
        self.responseKept(call)
    }

    /// Applies the items of a part from one of its chunk on, each on its own.
    ///
    /// - Parameter scratch: Has the result of one item at a time, and is left as it was.
    private func apply(
        _ items: ByteReader, _ header: ImportPartHeader, from first: Int, _ call: CallContext,
        _ tally: inout ImportTally, scratch: inout ByteBuffer
    ) throws(ApplyError) {
        var reader = items
        var next = call.firstLSN
        var sincePrefetch = Self.prefetchMax
        for index in header.firstItem ..< header.firstItem + header.itemCount {
            if index >= first {
                if sincePrefetch == Self.prefetchMax {
                    self.prefetch(items: reader, firstLSN: next, receivedAt: call.receivedAt)
                    sincePrefetch = 0
                }
                sincePrefetch += 1
            }
            guard let item = BatchItemView(from: &reader) else {
                throw .malformed(lsn: call.firstLSN)
            }
            let own = CallContext(
                firstLSN: next, lsn: next + UInt64(item.record.operations) - 1,
                receivedAt: call.receivedAt, clock: call.clock, rules: call.rules)
            next = own.lsn + 1
            guard index >= first else { continue }
            let offset = scratch.count
            try self.apply(item, own, results: &scratch)
            self.note(
                UnsafeRawBufferPointer(rebasing: scratch.bytes[offset...]), of: item, index, own,
                &tally)
            scratch.truncate(to: offset)
        }
    }

    /// Evaluates a part on the state as it is, and rolls back.
    ///
    /// Under all locks, as an atomic batch: readers wait meanwhile
    /// (docs/decisions/0462-validating-an-import.md).
    private func validate(
        _ header: ImportPartHeader, _ items: ByteReader, _ call: CallContext,
        results: inout ByteBuffer
    ) throws(ApplyError) {
        var tally = ImportTally(rejectionsMax: ImportLimits.rejectionsMax)
        var thrown: ApplyError?
        _ = self.atomically {
            do throws(ApplyError) {
                try self.apply(
                    items, header, from: header.firstItem, call, &tally, scratch: &results)
            } catch {
                thrown = error
            }
            return false
        }
        self.triggers.staged.removeAll()
        if let thrown { throw thrown }
        var body = ImportResultBody()
        body.done = header.firstItem + header.itemCount
        body.add(tally)
        body.counts = tally.counts
        let start = ResultHeader(
            rejection: .none, flags: [], kind: .importPart, lsn: call.lsn
        ).begin(in: &results)
        body.write(into: &results)
        ResultHeader.end(at: start, in: &results)
    }

    // MARK: Outcomes

    /// Notes what became of one operation.
    ///
    /// - Parameter result: As its command appended it.
    private func note(
        _ result: UnsafeRawBufferPointer, of item: BatchItemView, _ index: Int, _ call: CallContext,
        _ tally: inout ImportTally
    ) {
        var reader = ByteReader(result)
        guard let header = ResultHeader(from: &reader) else {
            preconditionFailure("a command appends a whole result")
        }
        guard header.rejection == .none else {
            return tally.reject(index, item.kind, header, &reader)
        }
        switch header.kind {
        case .track: tally.noteTrack(index, &reader)
        case .identify:
            guard let body = IdentifyResultBody(from: &reader) else {
                preconditionFailure("a command appends a whole result")
            }
            let stale = Int(reader.readVarint())
            tally.stored += body.itemCount - stale
            tally.stale += stale
            switch body.outcome {
            case .noop: tally.counts.unchanged += 1
            case .ignoredStaleLink: tally.count(isApplied: self.isChanged(body.profileID, call))
            case .created, .attached, .promoted, .merged, .updated, .switched, .loggedOut:
                tally.counts.applied += 1
            }
        case .updateSubscription:
            guard let body = SubscriptionResultBody(from: &reader) else {
                preconditionFailure("a command appends a whole result")
            }
            tally.noteChanges(body.changeCount, &reader)
            tally.count(isApplied: self.isChanged(body.profileID, call))
        default: preconditionFailure("an import has no such item")
        }
    }

    /// Whether an operation changed what a reader sees of a profile.
    private func isChanged(_ id: ProfileID, _ call: CallContext) -> Bool {
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            let identifier = IdentifierView(kind: .profileID, bytes: bytes)
            let project = self.project.id
            let found = self.identities.find(
                project, identifier, hash: self.hash.identifier(project, identifier))
            return found.map { self.pool.header($0.profile).pointee.lsn == call.lsn } ?? false
        }
    }
}

/// What became of the operations of a part so far.
struct ImportTally {
    var counts = ImportCounts()
    /// Items, for the accounting.
    var stored = 0
    var duplicate = 0
    var stale = 0
    /// Rejections that are listed.
    let rejectionsMax: Int

    init(rejectionsMax: Int) {
        self.rejectionsMax = rejectionsMax
    }

    mutating func count(isApplied: Bool) {
        if isApplied { self.counts.applied += 1 } else { self.counts.unchanged += 1 }
    }

    /// Notes a rejected operation.
    ///
    /// - Parameter body: Behind the result's header.
    mutating func reject(
        _ index: Int, _ kind: RecordKind?, _ header: ResultHeader, _ body: inout ByteReader
    ) {
        self.counts.rejected += 1
        var rejection = ImportRejection(
            index: index, kind: kind, rejection: header.rejection, item: Int(header.index),
            detail: header.detail)
        if kind == .track, header.rejection == .timeWindow {
            // The first of the events that are listed is the one that decides.
            for _ in 0 ..< body.read(UInt8.self) {
                let number = body.read(UInt8.self)
                _ = body.read(UInt8.self)
                let effective = body.read(Int64.self)
                let bound = body.read(Int64.self)
                if number == header.index { rejection.isLate = effective < bound }
            }
        }
        self.counts.note(rejection, most: self.rejectionsMax)
    }

    /// Notes a Track that was carried out.
    mutating func noteTrack(_ index: Int, _ body: inout ByteReader) {
        guard let track = TrackResultBody(from: &body) else {
            preconditionFailure("a command appends a whole result")
        }
        var (stored, duplicates) = (0, 0)
        var firstRejection: ImportRejection?
        for number in 0 ..< track.eventCount {
            guard let event = EventResultView(from: &body) else {
                preconditionFailure("a command appends a whole result")
            }
            switch event.outcome {
            case .stored: stored += 1
            case .duplicate: duplicates += 1
            case .rejected where firstRejection == nil:
                firstRejection = ImportRejection(
                    index: index, kind: .track, rejection: event.rejection, item: number,
                    isLate: event.effectiveTime < event.detail,
                    detail: UInt64(bitPattern: event.detail))
            case .rejected: break
            }
        }
        self.stored += stored
        self.duplicate += duplicates
        if let firstRejection { self.counts.note(firstRejection, most: self.rejectionsMax) }
        if stored == 0, firstRejection != nil {
            self.counts.rejected += 1
        } else {
            self.count(isApplied: stored > 0)
        }
    }

    /// Notes the changes of an UpdateSubscription that was carried out.
    mutating func noteChanges(_ count: Int, _ body: inout ByteReader) {
        for _ in 0 ..< count {
            guard let change = SubscriptionResultView(from: &body) else {
                preconditionFailure("a command appends a whole result")
            }
            if change.applied { self.stored += 1 } else { self.stale += 1 }
        }
    }
}

extension ImportResultBody {
    fileprivate mutating func add(_ tally: ImportTally) {
        self.stored += tally.stored
        self.duplicate += tally.duplicate
        self.stale += tally.stale
    }
}
