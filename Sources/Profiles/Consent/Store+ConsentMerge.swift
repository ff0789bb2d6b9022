import Bytes

// What the service itself does to consent: it joins that of two profiles when they merge, and
// withdraws it when the address is gone that it was given for. Both stage new blocks and commit
// nothing; each key that changes is an entry with source SYSTEM.
//
// SAFETY: headers and their blocks are read without a lock, which the applier may, since only it
// changes them; new blocks are copies.

extension Store {
    /// Gives the survivor of a merge the consent that both had.
    ///
    /// The survivor's former consent block is not freed: the merge keeps it for un-merge. The loser
    /// keeps its consent and its ledger.
    func mergeConsent(
        from loser: ProfileRef, into header: inout ProfileHeader, survivor: ProfileRef,
        call: CallContext, origin: ChangeOrigin
    ) {
        let lost = self.consentPart(self.pool.header(loser).pointee)
        var work = ConsentWork(
            kind: .identify, call: call, project: header.project,
            part: self.consentPart(self.pool.header(survivor).pointee))
        work.merge(lost)
        self.setConsent(work.part, in: &header)
        self.appendEntries(work, of: survivor, to: &header, origin)
    }

    /// Withdraws consent that was given for an address which the attributes no longer have, where
    /// the project wants that. Opt-outs stay.
    ///
    /// - Parameters:
    ///   - draft: The attributes that the profile will have.
    ///   - header: Still with the attributes that it had.
    func resetConsent(
        of profile: ProfileRef, for draft: AttributeDraft, in header: inout ProfileHeader,
        _ call: CallContext, origin: ChangeOrigin
    ) {
        guard self.project.options.resetConsentOnAddressChange, header.consent != 0,
            header.attributes != 0
        else { return }
        let before = self.attributeDraft(header)
        var work = ConsentWork(
            kind: .identify, call: call, project: header.project, part: self.consentPart(header))
        for channel in [Channel.email, .sms] {
            guard let old = self.address(channel, in: before) else { continue }
            let new = self.address(channel, in: draft)
            let isEqual =
                new.map { Self.isEqual(old, $0, channel, by: call.rules) } ?? false
            if !isEqual { work.reset(channel) }
        }
        guard !work.evaluated.isEmpty else { return }
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.setConsent(work.part, in: &header)
        self.appendEntries(work, of: profile, to: &header, origin)
    }

    /// Whether two spellings are of one address.
    private static func isEqual(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ channel: Channel,
        by rules: Rules
    ) -> Bool {
        guard rules.comparesAddressesByKey else {
            return AddressKey.withFormer(channel, left) { left in
                AddressKey.withFormer(channel, right) { left.equals($0) }
            }
        }
        return AddressKey.with(channel, left) { left in
            AddressKey.with(channel, right) { left.equals($0) }
        }
    }

    /// The address on a channel; `nil`: none.
    private func address(_ channel: Channel, in draft: AttributeDraft) -> UnsafeRawBufferPointer? {
        let native = channel == .email ? NativeAttribute.emailAddress : .phoneNumber
        let name = UnsafeRawBufferPointer(
            start: native.name.utf8Start, count: native.name.utf8CodeUnitCount)
        guard let number = self.project.names.find(name),
            let entry = draft.entries.first(where: { $0.name == number }), entry.kind == .value
        else { return nil }
        var reader = ByteReader(entry.value)
        guard PackedTag(rawValue: reader.read()) == .string else { return nil }
        return reader.readPrefixed()
    }

    /// Appends an entry for each change to a header's ledger.
    func appendEntries(
        _ work: ConsentWork, of profile: ProfileRef, to header: inout ProfileHeader,
        _ origin: ChangeOrigin
    ) {
        guard !work.evaluated.isEmpty else { return }
        var chain = LedgerAppend(after: self.ledgerPart(header).head)
        var entry = ByteBuffer()
        for change in work.evaluated {
            entry.removeAll()
            self.entry(change, work, of: header.id).write(into: &entry)
            let previous = chain.head
            chain.append(entry.bytes)
            guard self.recordsChanges, change.applied else { continue }
            self.noteConsent(
                of: profile, change, entry.bytes, previous: previous, hash: chain.head,
                origin: origin)
        }
        self.setLedger(chain, in: &header)
    }
}
