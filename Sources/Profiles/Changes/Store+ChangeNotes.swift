import Bytes

// How the change list is collected: each place that decides a change notes it beside its staging.
// All of it runs only while a consumer is attached.
//
// SAFETY: `changes`, `undo` and `work` are one element each that `Store` owns; this file runs on
// the applier, the only thread that follows them. A `Change` quotes blocks that are freed after its
// delivery.

extension Store {
    /// Attaches the consumer of changes, or with `nil` detaches it; for the applier, between two
    /// records.
    package func attach(_ consumer: (any ChangeConsumer)?) {
        self.changes.pointee.consumer = consumer
        self.changes.pointee.isConsumed = consumer != nil
    }

    /// Whether changes are collected.
    @inline(__always)
    var isConsumed: Bool { self.changes.pointee.isConsumed }

    /// Notes a change; the revision is read once it is committed.
    @inline(never)
    func note(
        _ kind: Change.Kind, of profile: ProfileRef, other: ProfileRef? = nil, lsn: UInt64,
        isHistorical: Bool = false, detail: Change.Detail = .none
    ) {
        var change = Change(
            kind: kind, lsn: lsn, profileID: self.pool.header(profile).pointee.id,
            profile: profile)
        if let other { change.otherID = self.pool.header(other).pointee.id }
        change.isHistorical = isHistorical
        change.detail = detail
        self.changes.pointee.list.changes.append(change)
    }

    /// Notes which attributes a reader sees changed.
    ///
    /// - Parameters:
    ///   - old: The header with the attributes so far.
    ///   - new: The header with the block that `draft` was written to.
    /// - Complexity: O(attributes of both).
    func noteAttributes(
        of profile: ProfileRef, from old: ProfileHeader, to new: ProfileHeader,
        _ draft: AttributeDraft, _ call: CallContext, isHistorical: Bool
    ) {
        let before = self.attributeDraft(old).entries
        let names = self.project.names
        let first = self.changes.pointee.list.attributes.count
        func add(_ name: Int, isDeleted: Bool) {
            self.changes.pointee.list.attributes.append(
                AttributeChange(name: UInt16(name), isDeleted: isDeleted))
        }
        // Both lists ascend by the text of their names.
        var next = 0
        for after in draft.entries {
            while next < before.count, before[next].name != after.name,
                names.name(before[next].name).isOrderedBefore(names.name(after.name))
            {
                if before[next].isShown { add(before[next].name, isDeleted: true) }
                next += 1
            }
            let isKnown = next < before.count && before[next].name == after.name
            let shown = isKnown ? before[next] : nil
            if isKnown { next += 1 }
            if after.isShown {
                if !(shown?.showsSame(as: after) ?? false) { add(after.name, isDeleted: false) }
            } else if shown?.isShown ?? false {
                add(after.name, isDeleted: true)
            }
        }
        while next < before.count {
            if before[next].isShown { add(before[next].name, isDeleted: true) }
            next += 1
        }
        let range = first ..< self.changes.pointee.list.attributes.count
        guard !range.isEmpty else { return }
        self.note(
            .attributesChanged, of: profile, lsn: call.lsn, isHistorical: isHistorical,
            detail: .attributes(
                names: range, block: new.attributes, bytes: Int(new.attributesBytes)))
    }

    /// Notes the applied entries that were just appended to a ledger: one change for each lsn.
    ///
    /// - Parameters:
    ///   - evaluated: The changes that have an entry, in the order of the ledger.
    ///   - addedBytes: Bytes of these entries at the end of the header's ledger block.
    func noteConsent(
        of profile: ProfileRef, _ header: ProfileHeader, _ evaluated: [EvaluatedChange],
        addedBytes: Int
    ) {
        let offset = Int(header.ledgerBytes) - addedBytes
        var reader = ByteReader(
            UnsafeRawBufferPointer(
                start: self.slab.pointer(header.ledger) + offset, count: addedBytes))
        for change in evaluated {
            let entry = reader.readPrefixed()
            guard change.applied else { continue }
            let index = self.changes.pointee.list.entries.count
            self.changes.pointee.list.entries.append(
                ConsentEntryChange(channel: change.channel, topic: change.topic, entry: entry))
            if let last = self.changes.pointee.list.changes.last, last.profile == profile,
                last.lsn == change.lsn, case .entries(let range) = last.detail
            {
                let position = self.changes.pointee.list.changes.count - 1
                self.changes.pointee.list.changes[position].detail = .entries(
                    range.lowerBound ..< index + 1)
            } else {
                self.note(
                    .subscriptionChanged, of: profile, lsn: change.lsn,
                    detail: .entries(index ..< index + 1))
            }
        }
    }

    /// Notes a changed suppression for every profile that has the address, ascending by profile id.
    ///
    /// - Complexity: O(profiles with the address); the list takes about 100 bytes for each.
    func noteSuppression(
        of address: AddressHash, _ reasons: SuppressionReasons, _ call: CallContext
    ) {
        let found = self.addresses.candidates(address.low, max: .max) { 0 }.profiles
        let sorted = found.map { ($0, self.pool.header($0).pointee) }
            .filter { $0.1.project == self.project.id }
            .sorted { ($0.1.id.high, $0.1.id.low) < ($1.1.id.high, $1.1.id.low) }
        for (native, channel) in [
            (NativeAttribute.emailAddress, Channel.email), (.phoneNumber, .sms),
        ] {
            guard let number = self.project.names.find(native.nameBytes) else { continue }
            for (profile, header) in sorted {
                guard let text = self.address(in: header, number),
                    self.addressHash(header.project, channel, text) == address
                else { continue }
                self.note(
                    .suppressionChanged, of: profile, lsn: call.lsn,
                    detail: .suppression(channel, reasons))
            }
        }
    }

    /// Notes the events of the edits that were just carried out.
    func noteEvents(_ edits: UnsafeBufferPointer<ProfileEdit>) {
        for edit in edits where edit.storedCount > 0 {
            for number in 0 ..< edit.eventCount {
                let event = self.work.pointee.pending + number
                guard edit.takes(event) else { continue }
                self.note(
                    .eventStored, of: edit.profile, lsn: event.pointee.lsn,
                    isHistorical: edit.isHistorical, detail: .event(event.pointee.block))
            }
        }
    }

    /// Completes the changes that were noted since the last commit: they are in the state now.
    func noteCommitted() {
        let count = self.changes.pointee.list.changes.count
        for index in self.changes.pointee.list.committedCount ..< count {
            let change = self.changes.pointee.list.changes[index]
            let header = self.pool.header(change.profile).pointee
            self.changes.pointee.list.changes[index].revision = header.revision
            guard change.kind == .created else { continue }
            self.changes.pointee.list.changes[index].detail = .created(
                identity: header.identity, attributes: header.attributes,
                attributesBytes: Int(header.attributesBytes))
        }
        self.changes.pointee.list.committedCount = count
    }

    /// Hands the collected changes to the consumer; before anything that they refer to is freed.
    func deliverChanges(receivedAt: Int64) {
        guard !self.changes.pointee.list.changes.isEmpty else { return }
        self.changes.pointee.list.sort()
        self.changes.pointee.consumer?.consume(
            CommittedChanges(
                store: self, list: self.changes.pointee.list, receivedAt: receivedAt))
        self.changes.pointee.list.removeAll()
    }
}

extension AttributeEntry {
    /// Whether a reader sees it.
    fileprivate var isShown: Bool { self.kind != .deleted }

    /// Whether a reader sees the same of both.
    fileprivate func showsSame(as other: AttributeEntry) -> Bool {
        guard self.kind == other.kind else { return false }
        guard self.kind == .list else { return self.value.equals(other.value) }
        return self.elements.count == other.elements.count
            && zip(self.elements, other.elements).allSatisfy { $0.text.equals($1.text) }
    }
}
