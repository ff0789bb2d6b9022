import Bytes

/// A call's request id, and what is known of it.
struct DeduplicationLookup {
    var kind: RecordKind
    var id: UnsafeRawBufferPointer
    var hash: UInt64
    var fingerprint: Fingerprint
    var entry: RequestDeduplication.DeduplicationEntry?
}

extension Store {
    /// What is remembered of the call's request id; `nil` if it has none.
    ///
    /// - Parameter requestID: The prefixed text inside of the record's payload; at most 127 bytes,
    ///   so that its prefix is one.
    func remembered(
        _ kind: RecordKind, _ requestID: UnsafeRawBufferPointer, _ record: RecordView,
        _ call: CallContext
    ) -> DeduplicationLookup? {
        guard requestID.count > 0, let start = record.payload.baseAddress,
            let id = requestID.baseAddress
        else { return nil }
        let before = id - start
        let after = before + requestID.count
        let fingerprint = self.hash.fingerprint(
            UnsafeRawBufferPointer(rebasing: record.payload[..<(before - 1)]),
            UnsafeRawBufferPointer(rebasing: record.payload[after...]))
        let hash = self.hash.request(kind, requestID)
        let entry = self.project.requests.find(kind, requestID, hash: hash, now: call.receivedAt)
        return DeduplicationLookup(
            kind: kind, id: requestID, hash: hash, fingerprint: fingerprint, entry: entry)
    }

    /// Answers a call whose request id is known: the first answer, or a refusal if the message is
    /// another or the answer was erased. False: it is new.
    func replayResponse(
        _ lookup: DeduplicationLookup?, _ call: CallContext, into results: inout ByteBuffer
    )
        -> Bool
    {
        guard let lookup, let entry = lookup.entry else { return false }
        if entry.isErased {
            self.appendRejection(.identifierErased, lookup.kind, call, into: &results)
        } else if entry.fingerprint == lookup.fingerprint {
            self.appendReplay(entry.response, into: &results)
        } else {
            self.appendRejection(.requestIDReused, lookup.kind, call, into: &results)
        }
        return true
    }

    /// Remembers the answer that stands in `results` from `start` on.
    func remember(
        _ lookup: DeduplicationLookup, _ results: borrowing ByteBuffer, from start: Int,
        _ call: CallContext
    ) {
        self.project.requests.remember(
            lookup.kind, lookup.id, hash: lookup.hash, fingerprint: lookup.fingerprint,
            response: UnsafeRawBufferPointer(rebasing: results.bytes[start ..< results.count]),
            now: call.receivedAt)
    }

    /// The profile that an identifier names, merges followed; for the applier, which needs no lock
    /// to read, or while all are held.
    @inline(__always)
    func find(
        _ project: ProjectID, _ identifier: IdentifierView, hash: UInt64
    ) -> (profile: ProfileRef, isAlias: Bool)? {
        guard let profile = self.holder(project, identifier, hash: hash) else { return nil }
        let survivor = self.survivor(of: profile)
        return (survivor, survivor != profile)
    }

    /// As `find`, merges not followed: of a profile id the one that was given it.
    @inline(__always)
    func holder(_ project: ProjectID, _ identifier: IdentifierView, hash: UInt64) -> ProfileRef? {
        let table = self.index.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let value = table.next(tag, from: &position)
            guard value != 0 else { return nil }
            let profile = ProfileRef(rawValue: value)
            if self.holds(self.pool.header(profile).pointee, project, identifier) { return profile }
        }
    }

    /// The profile that a chain of merges ends at.
    func survivor(of profile: ProfileRef) -> ProfileRef {
        var profile = profile
        while true {
            let next = self.pool.header(profile).pointee.mergedInto
            guard next != 0 else { return profile }
            profile = ProfileRef(rawValue: next)
        }
    }

    /// Whether a profile is called so. One that was merged away keeps its own id only.
    @inline(__always)
    func holds(_ header: ProfileHeader, _ project: ProjectID, _ identifier: IdentifierView) -> Bool
    {
        guard header.project == project else { return false }
        guard identifier.kind != .profileID else {
            return identifier.bytes.count == ProfileID.binaryBytes
                && header.id == ProfileID(binary: identifier.bytes)
        }
        return header.isLive && IdentityPart(self.slab.pointer(header.identity)).holds(identifier)
    }
}
