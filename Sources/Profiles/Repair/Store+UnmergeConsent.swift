import Bytes

// Consent in an un-merge: it never weakens. What the person decided since the merge stays with the
// survivor, and an opt-out of them holds on both; everything else is as it was. Source:
// docs/rules.md, section 6, UnmergeProfile.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them. Topics are borrowed from blocks that are freed after the commit.

/// What ledgers say of one (channel, topic) since a merge.
private struct ConsentSince {
    var channel: Channel
    var topic: UnsafeRawBufferPointer
    /// The opt-out that holds; `nil`: none, or the person has subscribed again since.
    var optOut: StoredConsent?
    /// Whether the person has subscribed or withdrawn, so that no opt-out of before holds.
    var isAnew = false

    func isKey(_ key: ConsentPart.Key) -> Bool { key.isKey(self.channel, self.topic) }
}

/// What a ledger has of one stage.
private struct StageLedger {
    /// What the person, or a machine in their name, changed since.
    var byPerson: [ConsentSince] = []
    /// What the service did in the merge that the stage began with.
    var byMerge: [ConsentEntryView] = []

    /// Whether the merge withdrew a key, as it does if the address is another one after it.
    func isReset(_ key: ConsentPart.Key) -> Bool {
        key.stored.source == .system
            && self.byMerge.contains {
                key.isKey($0.channel, $0.topic) && $0.after == key.stored.state
                    && $0.effectiveTime == key.stored.effectiveTime
            }
    }
}

extension Store {
    /// Gives both profiles their consent, with an entry of source SYSTEM for each key that changes.
    func splitConsent(_ work: inout UnmergeWork) {
        let rules = work.call.rules
        let had = self.consentPart(self.pool.header(work.loser).pointee)
        let present = self.consentPart(self.pool.header(work.survivor).pointee)
        var all: [ConsentSince] = []
        // What a profile has at the beginning of a stage, with the loser and without.
        var left = self.consent(work.merge.survivorConsent, work.merge.survivorConsentBytes)
        var with = left.merged(with: had, work)
        var (lsn, profile) = (work.merge.lsn, work.merge.survivor)
        for stage in work.stages {
            let end: ConsentPart
            var through = UInt64.max
            switch stage {
            case .absorbs(let block):
                let merge = self.merges.entry(block)
                end = self.consent(merge.survivorConsent, merge.survivorConsentBytes)
                through = merge.lsn
            case .isAbsorbed(let block):
                end = self.consentPart(self.pool.header(self.merges.entry(block).loser).pointee)
            case .present: end = present
            }
            let since = self.changes(of: profile, lsn ..< through, end)
            for one in since.byPerson { all.join(one) }
            left = Self.split(end, with: with, left: left, since)
            switch stage {
            case .absorbs(let block):
                let merge = self.merges.entry(block)
                let absorbed = self.consentPart(self.pool.header(merge.loser).pointee)
                self.keep(left, in: block)
                left = left.merged(with: absorbed, work)
                with = end.merged(with: absorbed, work)
                lsn = merge.lsn
            case .isAbsorbed(let block):
                let merge = self.merges.entry(block)
                let own = left
                work.change(merge.loser) {
                    self.free($0.consent, bytes: Int($0.consentBytes))
                    self.setConsent(own, in: &$0)
                }
                let before = self.consent(merge.survivorConsent, merge.survivorConsentBytes)
                left = before.merged(with: own, work)
                with = before.merged(with: end, work)
                (lsn, profile) = (merge.lsn, merge.survivor)
            case .present: break
            }
        }
        var restored = had
        for one in all {
            guard let optOut = one.optOut else { continue }
            var key =
                restored.find(one.channel, one.topic)
                ?? ConsentPart.Key(channel: one.channel, topic: one.topic)
            key.stored =
                key.stored.state == .unsubscribed
                ? key.stored.merged(with: optOut, rules: rules) : optOut
            key.pendingSince = 0
            restored.set(key)
        }
        for channel in Channel.allCases { restored.dropOldestUnset(channel) }
        var (header, other) = (work.header, work.restored)
        self.setConsent(restored, from: had, of: work.loser, in: &other, work, isPushed: true)
        self.setConsent(left, from: present, of: work.survivor, in: &header, work)
        (work.header, work.restored) = (header, other)
    }

    private func consent(_ block: Handle, _ bytes: UInt32) -> ConsentPart {
        guard block != 0 else { return ConsentPart() }
        return ConsentPart(
            UnsafeRawBufferPointer(start: self.slab.pointer(block), count: Int(bytes)))
    }

    /// Keeps what a survivor had before a later merge.
    private func keep(_ consent: ConsentPart, in block: Handle) {
        let merge = self.merges.entry(block)
        self.free(merge.survivorConsent, bytes: Int(merge.survivorConsentBytes))
        var header = self.pool.header(merge.loser).pointee
        self.setConsent(consent, in: &header)
        let (kept, bytes) = (header.consent, header.consentBytes)
        self.changeMerge(block) { ($0.survivorConsent, $0.survivorConsentBytes) = (kept, bytes) }
    }

    /// What a profile has at the end of a stage without the loser: what changed in it stays, and
    /// the rest is as it would have been at the beginning.
    private static func split(
        _ end: ConsentPart, with: ConsentPart, left: ConsentPart, _ since: StageLedger
    ) -> ConsentPart {
        var result = ConsentPart()
        for key in end.keys {
            let before = with.find(key.channel, key.topic)
            let isAsMerged =
                before?.stored == key.stored && before?.pendingSince == key.pendingSince
                || since.isReset(key)
            if !isAsMerged || since.byPerson.contains(where: { $0.isKey(key) }) {
                result.set(key)
            } else if let old = left.find(key.channel, key.topic) {
                result.set(old)
            }
        }
        // A key that was dropped among many is had as it was.
        for old in left.keys where end.find(old.channel, old.topic) == nil { result.set(old) }
        return result
    }

    // MARK: Ledgers

    /// What the ledger of a profile has of these lsns, the first of which is that of a merge.
    private func changes(
        of profile: ProfileRef, _ lsns: Range<UInt64>, _ end: ConsentPart
    ) -> StageLedger {
        let ledger = self.ledgerPart(self.pool.header(profile).pointee)
        var stage = StageLedger()
        var first: UInt64?
        ledger.forEach { bytes in
            guard let entry = ConsentEntryView(bytes) else { return }
            first = first ?? entry.lsn
            guard lsns.contains(entry.lsn), entry.applied else { return }
            if entry.source != .system || entry.hasEvidence {
                stage.byPerson.note(entry)
            } else if entry.lsn == lsns.lowerBound {
                stage.byMerge.append(entry)
            }
        }
        // What was folded away could be an opt-out: then every one that there is counts as new.
        guard ledger.foldedCount > 0, first ?? .max > lsns.lowerBound else { return stage }
        for key in end.keys where key.stored.state == .unsubscribed {
            stage.byPerson.join(
                ConsentSince(channel: key.channel, topic: key.topic, optOut: key.stored))
        }
        return stage
    }

    /// Gives a header its consent, and its ledger an entry for each key that changes.
    ///
    /// - Parameter isPushed: The changes are opt-outs that came since the merge, which later
    ///   un-merges must know: their entries have evidence.
    private func setConsent(
        _ consent: ConsentPart, from before: ConsentPart, of profile: ProfileRef,
        in header: inout ProfileHeader, _ work: UnmergeWork, isPushed: Bool = false
    ) {
        var changes = ConsentWork(
            kind: .unmerge, call: work.call, project: self.project.id, part: consent)
        for key in consent.keys {
            let old =
                before.find(key.channel, key.topic)
                ?? ConsentPart.Key(channel: key.channel, topic: key.topic)
            guard old.stored != key.stored else { continue }
            changes.evaluated.append(changes.bySystem(old, key.stored))
        }
        for old in before.keys where consent.find(old.channel, old.topic) == nil {
            let none = StoredConsent(effectiveTime: old.stored.effectiveTime)
            changes.evaluated.append(changes.bySystem(old, none))
        }
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.setConsent(consent, in: &header)
        let method = Self.unmergeMethod
        // SAFETY: a static string lives as long as the process.
        let text = UnsafeRawBufferPointer(start: method.utf8Start, count: method.utf8CodeUnitCount)
        if isPushed {
            changes.evidence = EvidenceView(
                method: text, ip: .none, userAgent: .none, textVersion: .none, actor: .none,
                reference: .none)
        }
        self.appendEntries(changes, of: profile, to: &header, ChangeOrigin())
    }

    /// `evidence.method` of an opt-out that an un-merge carries over.
    private static let unmergeMethod: StaticString = "unsubscribed while merged"
}

extension ConsentPart {
    /// What a merge makes of two profiles' consent.
    fileprivate func merged(with other: ConsentPart, _ work: UnmergeWork) -> ConsentPart {
        var merged = ConsentWork(
            kind: .unmerge, call: work.call, project: work.header.project, part: self)
        merged.merge(other)
        return merged.part
    }
}

extension [ConsentSince] {
    /// Adds what a later stage says of a key: of two opt-outs neither time nor source weakens.
    fileprivate mutating func join(_ change: ConsentSince) {
        guard let index = self.index(of: change.channel, change.topic) else {
            return self.append(change)
        }
        guard !change.isAnew, let before = self[index].optOut else {
            self[index] = change
            return
        }
        self[index].optOut =
            change.optOut.map { before.merged(with: $0, rules: .current) } ?? before
    }

    private func index(of channel: Channel, _ topic: UnsafeRawBufferPointer) -> Int? {
        self.firstIndex { $0.channel == channel && $0.topic.equals(topic) }
    }

    /// Adds an entry of a ledger.
    fileprivate mutating func note(_ entry: ConsentEntryView) {
        let index = self.index(of: entry.channel, entry.topic)
        var change =
            index.map { self[$0] } ?? ConsentSince(channel: entry.channel, topic: entry.topic)
        switch entry.after {
        case .unsubscribed:
            let optOut = StoredConsent(
                state: .unsubscribed, source: entry.source, effectiveTime: entry.effectiveTime,
                isByKeyword: entry.channel == .sms && entry.source == .smsKeyword)
            change.optOut = change.optOut?.merged(with: optOut, rules: .current) ?? optOut
        case .subscribed, .unset: (change.optOut, change.isAnew) = (nil, true)
        // An opt-out holds until the confirmation.
        case .pending: break
        }
        if let index { self[index] = change } else { self.append(change) }
    }
}
