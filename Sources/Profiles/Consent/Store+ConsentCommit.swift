import Bytes

// The second pass over a change of consent: new blocks for state and ledger, and one commit.
//
// SAFETY: headers and their blocks are read without a lock, which the applier may, since only it
// changes them; `changes` and `work` are one element each that `Store` owns.

extension Store {
    /// A profile with the identifier of the call, which no reader can find before the commit.
    func createProfile(of identifier: IdentifierView, hash: UInt64, _ work: ConsentWork)
        -> ProfileRef
    {
        let bytes = IdentityPart.bytes(of: identifier)
        let identity = self.allocate(bytes)
        IdentityPart.write(
            identifier, platform: Platform.unspecified.rawValue, at: work.call.receivedAt,
            to: self.slab.pointer(identity))
        let profile = self.createProfile(
            work.call, project: work.project, identity: identity, identityBytes: bytes,
            origin: work.origin)
        self.name(profile, hash)
        return profile
    }

    /// Writes what was evaluated into state and ledger, and appends the response.
    func commit(
        _ work: ConsentWork, to profile: ProfileRef, isNew: Bool, redirectedFrom: IdentifierView?,
        results: inout ByteBuffer
    ) {
        var header = self.pool.header(profile).pointee
        let start = ResultHeader(
            rejection: .none, flags: redirectedFrom == nil ? [] : [.redirected], kind: work.kind,
            lsn: work.call.lsn
        ).begin(in: &results)
        if work.isVisible, !isNew { header.raiseRevision(work.call) }
        SubscriptionResultBody(
            profileID: header.id, revision: header.revision, redirectedFrom: redirectedFrom,
            changeCount: work.evaluated.count
        ).write(into: &results)
        self.appendLedger(
            work, of: profile, isNoted: self.recordsChanges && (work.isVisible || isNew),
            to: &header, results: &results)
        work.part.appendImage(to: &results)
        ResultHeader.end(at: start, in: &results)
        // Topics of `work.part` are borrowed from the old block, which lives until the commit.
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.setConsent(work.part, in: &header)
        self.replace(profile, with: header)
        self.finish(work.call)
    }

    /// Gives a header a new consent block; the old one is the caller's to free.
    func setConsent(_ part: ConsentPart, in header: inout ProfileHeader) {
        var block = ByteBuffer()
        part.write(into: &block)
        header.consent = self.allocate(copying: block.bytes)
        header.consentBytes = UInt32(block.count)
    }

    /// Appends an entry for each evaluated change to a header's ledger, and each change's result to
    /// the response.
    ///
    /// - Parameter isNoted: The entries that were applied are changes.
    private func appendLedger(
        _ work: ConsentWork, of profile: ProfileRef, isNoted: Bool, to header: inout ProfileHeader,
        results: inout ByteBuffer
    ) {
        guard !work.evaluated.isEmpty else { return }
        var chain = LedgerAppend(after: self.ledgerPart(header).head)
        var entry = ByteBuffer()
        var token = ByteBuffer()
        for change in work.evaluated {
            entry.removeAll()
            self.entry(change, work, of: header.id).write(into: &entry)
            let previous = chain.head
            chain.append(entry.bytes)
            if isNoted, change.applied {
                self.noteConsent(
                    of: profile, change, entry.bytes, previous: previous, hash: chain.head,
                    origin: work.origin)
            }
            token.removeAll()
            if change.needsToken {
                self.appendText(
                    of: ConsentToken(
                        kind: .confirmation, project: work.project, profileID: header.id,
                        channel: change.channel,
                        topic: change.topic, issuedAt: work.call.receivedAt, lsn: change.lsn),
                    to: &token)
            }
            SubscriptionResultView(
                channel: change.channel, topic: change.topic, state: change.after,
                applied: change.applied,
                token: token.bytes, previousHash: previous, hash: chain.head, entry: entry.bytes
            ).write(into: &results)
        }
        self.setLedger(chain, in: &header)
    }

    func entry(_ change: EvaluatedChange, _ work: ConsentWork, of profileID: ProfileID)
        -> ConsentEntry
    {
        ConsentEntry(
            channel: change.channel, topic: change.topic, before: change.before,
            after: change.after,
            applied: change.applied, source: change.source, evidence: work.evidence,
            effectiveTime: change.effectiveTime,
            receivedAt: work.call.receivedAt, lsn: change.lsn, profileID: profileID)
    }
}

/// Entries that follow those of a ledger.
struct LedgerAppend: ~Copyable {
    private var buffer = ByteBuffer()
    private(set) var addedCount = 0
    /// The hash of the newest entry.
    private(set) var head: SHA256Digest

    /// - Parameter head: The hash of the ledger's newest entry.
    init(after head: SHA256Digest) {
        self.head = head
    }

    /// The new entries, prefixed each.
    var added: UnsafeRawBufferPointer { self.buffer.bytes }

    mutating func append(_ entry: UnsafeRawBufferPointer) {
        self.head = LedgerPart.hash(entry, after: self.head)
        self.buffer.appendPrefixed(entry)
        self.addedCount += 1
    }
}
