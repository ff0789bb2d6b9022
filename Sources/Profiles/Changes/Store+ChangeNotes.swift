import Bytes

// How the changes of a commit are noted: each place that decides a change notes it beside its
// staging. All of it runs only while the store records changes.
//
// SAFETY: `changes` and `work` are one element each that `Store` owns; this file runs on the
// applier, the only thread that follows them. A `Change` quotes blocks that are freed after its
// record is written.

extension Store {
    /// Notes a change; revision and custom id are read once it is committed.
    @inline(never)
    func note(
        _ kind: ChangeKind, of profile: ProfileRef, other: ProfileRef? = nil, lsn: UInt64,
        origin: ChangeOrigin = ChangeOrigin(), detail: Change.Detail = .none
    ) {
        var change = Change(
            kind: kind, lsn: lsn, profile: profile,
            profileID: self.pool.header(profile).pointee.id)
        if let other { change.otherID = self.pool.header(other).pointee.id }
        change.origin = origin
        change.detail = detail
        self.changes.pointee.list.changes.append(change)
    }

    /// Writes what a kind of change adds to its record.
    func writeDetail(_ body: (inout ByteBuffer) -> Void) -> Change.Detail {
        let start = self.changes.pointee.list.details.count
        body(&self.changes.pointee.list.details)
        return .written(start ..< self.changes.pointee.list.details.count)
    }

    /// Notes that an installation belongs to a profile now.
    func noteMove(
        of installation: UnsafeRawBufferPointer, to profile: ProfileRef, from former: ProfileRef?,
        _ call: CallContext, origin: ChangeOrigin
    ) {
        self.note(
            .installationMoved, of: profile, other: former, lsn: call.lsn, origin: origin,
            detail: self.writeDetail { $0.appendPrefixed(installation) })
    }

    /// Notes which attributes a reader sees changed, with their values.
    ///
    /// - Parameters:
    ///   - old: The header with the attributes so far.
    ///   - draft: The attributes that the profile will have.
    /// - Complexity: O(attributes of both).
    func noteAttributes(
        of profile: ProfileRef, from old: ProfileHeader, to draft: AttributeDraft,
        _ call: CallContext, origin: ChangeOrigin
    ) {
        let before = self.attributeDraft(old).entries
        let names = self.project.names
        let start = self.changes.pointee.list.details.count
        let detail = self.writeDetail { buffer in
            // Both lists ascend by the text of their names.
            var next = 0
            for after in draft.entries {
                while next < before.count, before[next].name != after.name,
                    names.name(before[next].name).isOrderedBefore(names.name(after.name))
                {
                    if before[next].isShown { buffer.append(deleted: before[next]) }
                    next += 1
                }
                let isKnown = next < before.count && before[next].name == after.name
                let shown = isKnown ? before[next] : nil
                if isKnown { next += 1 }
                if after.isShown {
                    if !(shown?.showsSame(as: after) ?? false) { buffer.append(set: after) }
                } else if shown?.isShown ?? false {
                    buffer.append(deleted: after)
                }
            }
            while next < before.count {
                if before[next].isShown { buffer.append(deleted: before[next]) }
                next += 1
            }
        }
        guard self.changes.pointee.list.details.count > start else { return }
        self.note(
            .attributesChanged, of: profile, lsn: call.lsn, origin: origin, detail: detail)
    }

    /// Notes an applied entry that was just appended to a ledger: the entries of one lsn are one
    /// change.
    ///
    /// - Parameters:
    ///   - entry: As it is hashed (`ConsentEntry`).
    ///   - previous: The hash of the entry before.
    ///   - hash: Of the entry.
    func noteConsent(
        of profile: ProfileRef, _ change: EvaluatedChange, _ entry: UnsafeRawBufferPointer,
        previous: SHA256Digest, hash: SHA256Digest, origin: ChangeOrigin = ChangeOrigin()
    ) {
        let detail = self.writeDetail { buffer in
            buffer.append(change.channel.rawValue)
            previous.write(into: &buffer)
            hash.write(into: &buffer)
            buffer.appendPrefixed(entry)
        }
        let last = self.changes.pointee.list.changes.count - 1
        if last >= 0, case .written(let added) = detail,
            case .written(let earlier) = self.changes.pointee.list.changes[last].detail,
            earlier.upperBound == added.lowerBound,
            self.changes.pointee.list.changes[last].kind == .subscriptionChanged,
            self.changes.pointee.list.changes[last].profile == profile,
            self.changes.pointee.list.changes[last].lsn == change.lsn
        {
            self.changes.pointee.list.changes[last].detail = .written(
                earlier.lowerBound ..< added.upperBound)
        } else {
            self.note(
                .subscriptionChanged, of: profile, lsn: change.lsn, origin: origin, detail: detail)
        }
    }

    /// Notes a changed suppression for every profile that has the address, ascending by profile id.
    ///
    /// - Complexity: O(profiles with the address); the list and the records take about 200 bytes
    ///   for each.
    func noteSuppression(
        of address: AddressHash, _ reasons: SuppressionReasons, _ call: CallContext
    ) {
        let found = self.addresses.candidates(address.low, max: .max) { 0 }.profiles
        let sorted = found.map { ($0, self.pool.header($0).pointee.id) }
            .sorted { ($0.1.high, $0.1.low) < ($1.1.high, $1.1.low) }
        for (native, channel) in [
            (NativeAttribute.emailAddress, Channel.email), (.phoneNumber, .sms),
        ] {
            guard let number = self.project.names.find(native.nameBytes) else { continue }
            let detail = self.writeDetail { buffer in
                buffer.append(channel.rawValue)
                buffer.append(reasons.rawValue)
            }
            for (profile, _) in sorted {
                let header = self.pool.header(profile).pointee
                guard header.project == self.project.id,
                    let text = self.address(in: header, number),
                    self.addressHash(header.project, channel, text) == address
                else { continue }
                self.note(.suppressionChanged, of: profile, lsn: call.lsn, detail: detail)
            }
        }
    }

    /// Notes the erasure of a person, and which profiles had been merged into it, each with the one
    /// that it was merged into itself.
    func noteErasure(of profile: ProfileRef, _ losers: [ProfileRef], _ call: CallContext) {
        let links = losers.flatMap {
            [$0, ProfileRef(rawValue: self.pool.header($0).pointee.mergedInto)]
        }
        self.note(.erased, of: profile, lsn: call.lsn, detail: self.writeIDs(of: links))
    }

    /// Writes the ids of profiles, as what a kind of change adds to its record.
    func writeIDs(of profiles: [ProfileRef]) -> Change.Detail {
        guard !profiles.isEmpty else { return .none }
        return self.writeDetail { buffer in
            for profile in profiles {
                ChangeRecords.append(self.pool.header(profile).pointee.id, to: &buffer)
            }
        }
    }

    /// Notes the events of an edit that was just carried out.
    func noteEvents(_ edit: UnsafeMutablePointer<ProfileEdit>) {
        guard edit.pointee.storedCount > 0 else { return }
        let origin = ChangeOrigin(isHistorical: edit.pointee.isHistorical)
        for number in 0 ..< edit.pointee.eventCount {
            let event = self.work.pointee.pending + number
            guard edit.pointee.takes(event) else { continue }
            self.note(
                .eventStored, of: edit.pointee.profile, lsn: event.pointee.lsn, origin: origin,
                detail: .event(event.pointee.block))
        }
    }
}

extension ByteBuffer {
    /// Appends an attribute that was set, as a change record has it.
    fileprivate mutating func append(set entry: AttributeEntry) {
        self.append(UInt16(entry.name))
        guard entry.kind == .list else { return self.append(entry.value) }
        self.append(PackedTag.list.rawValue)
        self.appendVarint(UInt64(entry.elements.count))
        for element in entry.elements { self.appendPrefixed(element.text) }
    }

    /// Appends an attribute that was deleted, as a change record has it.
    fileprivate mutating func append(deleted entry: AttributeEntry) {
        self.append(UInt16(entry.name))
        self.append(ChangeView.deletedTag)
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
