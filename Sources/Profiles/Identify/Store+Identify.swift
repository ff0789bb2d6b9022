import Bytes

// An Identify in three steps: the table of the contract decides what it does (this file); the patch
// is applied to a draft, and may reject the call; then everything is committed at once
// (Store+IdentifyCommit.swift), which cannot fail. Source: docs/rules.md, section 2.
//
// SAFETY: `work` and `changes` are one element each that `Store` owns; this file runs on the
// applier, which reads headers without a lock since only it changes them.

/// What an Identify does: a row of the table.
enum IdentifyStep {
    /// Rows 1, 2 and 10: a profile of what the call names.
    case create
    /// Rows 6, 9 and 10: only the patch.
    case patch(ProfileRef)
    /// Row 3.
    case attach(ProfileRef)
    /// Row 4.
    case promote(ProfileRef)
    /// Row 5.
    case merge(ProfileRef, into: ProfileRef)
    /// Row 7; `nil`: the target is to be made.
    case switchOver(ProfileRef, to: ProfileRef?)
    /// Row 8.
    case logOut(ProfileRef)
    /// An older login than the device's last move; `nil`: the person is to be made, without the
    /// device.
    case staleLink(ProfileRef?)
    /// An older log-out than the device's last move.
    case staleLogOut(ProfileRef)
}

/// An Identify that passed the shared checks.
struct IdentifyWork {
    var header: IdentifyHeader
    var patch: UnsafeRawBufferPointer
    var call: CallContext
    /// Microseconds since 1970, never ahead of `received_at`.
    var effectiveTime: Int64
    var installationHash: UInt64
    var customHash: UInt64
    /// The profile that has the installation; `nil`: there is none, or the call names no
    /// installation.
    var holder: ProfileRef?
    /// The profile that has the custom id; `nil`: there is none, or the call names no custom id.
    var person: ProfileRef?
    /// `person` was reached through an alias.
    var isAlias: Bool
    /// The merged-away profile that the custom id belonged to; `nil`: it is the person's own.
    var personPart: ProfileRef?
    var warnings: [(reason: WarningReason, text: UnsafeRawBufferPointer)] = []

    var hasInstallation: Bool { self.header.installationID.count > 0 }
    var hasCustomID: Bool { self.header.customID.count > 0 }
    var isLogOut: Bool { self.header.flags.contains(.loggedOut) }
    /// Of the changes that the call makes.
    var origin: ChangeOrigin {
        ChangeOrigin(
            isHistorical: self.header.flags.contains(.historical), platform: self.header.platform,
            sourceName: self.header.sourceName)
    }
}

extension Store {
    /// Carries out one Identify.
    func identify(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        var reader = ByteReader(record.payload)
        guard let header = IdentifyHeader(from: &reader), Self.isWellFormed(header),
            record.operations == 1
        else {
            throw .malformed(lsn: call.firstLSN)
        }
        let device = CommandHead.Subject(.installationID, header.installationID, header, self.hash)
        let person = CommandHead.Subject(.customID, header.customID, header, self.hash)
        let head = CommandHead(
            kind: .identify, project: header.project, requestID: header.requestID, first: device,
            second: person, sentAt: header.sentAtField)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        var work = IdentifyWork(
            header: header,
            patch: UnsafeRawBufferPointer(rebasing: record.payload[reader.offset...]), call: call,
            effectiveTime: Self.effectiveTime(
                occurredAt: header.flags.contains(.hasOccurredAt) ? header.occurredAt : nil,
                sentAt: header.flags.contains(.hasSentAt) ? header.sentAt : nil,
                receivedAt: call.receivedAt),
            installationHash: device?.hash ?? 0, customHash: person?.hash ?? 0,
            holder: admitted.first?.profile, person: admitted.second?.profile,
            isAlias: admitted.second?.isAlias ?? false)
        work.personPart = work.person.flatMap { self.part(ofCustom: person, of: $0) }

        let step = self.step(work)
        if case .patch(let profile) = step, self.pool.header(profile).pointee.isErased {
            // The profile that held the device then was erased, and the patch is meant for no
            // other.
            return self.appendRejection(.identifierErased, .identify, call, into: &results)
        }
        let shown = self.shownBefore(step)
        if header.flags.contains(.hasExpectedRevision) {
            let revision = shown.map { self.pool.header($0).pointee.revision } ?? 0
            guard revision == header.expectedRevision else {
                return self.appendRejection(
                    .revisionMismatch, .identify, call, detail: revision, into: &results)
            }
        }
        let namesBefore = self.project.names.count
        var (draft, outcome) = self.tryPatch(step, &work)
        guard !outcome.isMalformed else {
            self.project.names.truncate(to: namesBefore)
            throw .malformed(lsn: call.firstLSN)
        }
        guard outcome.rejection == .none else {
            self.project.names.truncate(to: namesBefore)
            return self.appendRejection(
                outcome.rejection, .identify, call, detail: outcome.detail, into: &results)
        }
        let start = results.count
        let done = self.carryOut(step, &draft, outcome, &work)
        self.appendResponse(done, outcome, work, into: &results)
        self.freeReplaced()
        self.end(admitted, results, from: start, call)
    }

    private static func isWellFormed(_ header: IdentifyHeader) -> Bool {
        let ids = header.installationID.count + header.customID.count
        return ids > 0 && header.installationID.count <= Int(UInt16.max)
            && header.customID.count <= Int(UInt16.max)
            && !(header.flags.contains(.loggedOut)
                && (header.customID.count > 0 || header.installationID.count == 0))
            && header.requestID.count <= RequestDeduplication.idBytesMax
    }

    /// The earliest time of the contract, 1971-01-01T00:00:00Z, in microseconds.
    static let earliestTime: Int64 = 31_536_000 * 1_000_000

    /// The effective time of an Identify or a subscription change, in microseconds: never ahead of
    /// `receivedAt`, never before 1971, where clocks that are thousands of years apart would bring
    /// it. A record that was damaged behind its checksum may have any times.
    static func effectiveTime(occurredAt: Int64?, sentAt: Int64?, receivedAt: Int64) -> Int64 {
        guard let occurredAt else { return receivedAt }
        guard let sentAt, sentAt >= occurredAt else { return min(occurredAt, receivedAt) }
        let (age, isTooOld) = sentAt.subtractingReportingOverflow(occurredAt)
        return isTooOld ? Self.earliestTime : max(receivedAt - age, Self.earliestTime)
    }

    // MARK: The table

    private func step(_ work: IdentifyWork) -> IdentifyStep {
        guard work.hasInstallation else { return work.person.map { .patch($0) } ?? .create }
        guard let holder = work.holder else {
            return work.person.map { .attach($0) } ?? .create
        }
        let identity = IdentityPart(self.slab.pointer(self.pool.header(holder).pointee.identity))
        let isIdentified = identity.customID.count > 0
        let installation = identity.installation(work.header.installationID)
        let isStale = installation?.lastMoveAt.map { work.effectiveTime < $0 } ?? false
        if work.isLogOut {
            guard isIdentified else { return .patch(holder) }
            return isStale ? .staleLogOut(holder) : .logOut(holder)
        }
        guard work.hasCustomID else {
            // A patch for a device alone applies to the profile that held it then.
            let then = installation?.holder(at: work.effectiveTime).map {
                self.identities.survivor(of: $0)
            }
            return .patch(then ?? holder)
        }
        if work.person == holder { return .patch(holder) }
        if isStale { return .staleLink(work.person) }
        if isIdentified { return .switchOver(holder, to: work.person) }
        return work.person.map { .merge(holder, into: $0) } ?? .promote(holder)
    }

    /// The profile that the response will show, as it is before the call; for a log-out the one
    /// that the device leaves.
    private func shownBefore(_ step: IdentifyStep) -> ProfileRef? {
        switch step {
        case .create: nil
        case .patch(let profile), .attach(let profile), .promote(let profile),
            .merge(_, into: let profile),
            .logOut(let profile), .staleLogOut(let profile):
            profile
        case .switchOver(_, to: let profile), .staleLink(let profile): profile
        }
    }

    // MARK: The patch

    /// Tries the patch on what the target will have, and returns that.
    private func tryPatch(_ step: IdentifyStep, _ work: inout IdentifyWork) -> (
        AttributeDraft, PatchOutcome
    ) {
        var draft = AttributeDraft()
        var isIdentified = true
        switch step {
        case .create: isIdentified = work.hasCustomID
        case .patch(let profile):
            let header = self.pool.header(profile).pointee
            draft = self.attributeDraft(header)
            isIdentified = IdentityPart(self.slab.pointer(header.identity)).customID.count > 0
        case .attach(let profile), .promote(let profile):
            draft = self.attributeDraft(self.pool.header(profile).pointee)
        case .merge(let loser, into: let survivor):
            draft = self.attributeDraft(self.pool.header(survivor).pointee)
            let losses = draft.merge(
                self.attributeDraft(self.pool.header(loser).pointee),
                latestWins: self.project.options.latestWins,
                names: self.project.names, limits: self.attributeLimits, rules: work.call.rules)
            for name in losses.attributes { work.warnings.append((.attributeLimit, name)) }
            for name in losses.lists { work.warnings.append((.listOverflow, name)) }
        case .switchOver(_, to: let profile), .staleLink(let profile):
            if let profile { draft = self.attributeDraft(self.pool.header(profile).pointee) }
        case .logOut: isIdentified = false
        case .staleLogOut: return (draft, self.dropPatch(work.patch))
        }
        var isLenient = false
        if case .logOut = step { isLenient = true }
        let stamp = AttributeStamp(
            time: work.effectiveTime, lsn: work.call.lsn,
            origin: self.origin(of: step, work),
            platform: work.header.platform, sourceName: work.header.sourceName)
        let outcome = draft.apply(
            work.patch, stamp: stamp, names: self.project.names, limits: self.attributeLimits,
            isIdentified: isIdentified,
            isLenient: isLenient, rules: work.call.rules)
        for name in outcome.left { work.warnings.append((.limitExceeded, name)) }
        return (draft, outcome)
    }

    var attributeLimits: AttributeLimits {
        AttributeLimits(
            customMax: Int(self.limits.attributesPerProfile),
            namesMax: Int(self.limits.namesPerProject))
    }

    /// A patch that is dropped: every name of it is stale.
    private func dropPatch(_ patch: UnsafeRawBufferPointer) -> PatchOutcome {
        var outcome = PatchOutcome()
        var reader = ByteReader(patch)
        for _ in 0 ..< reader.readVarint() {
            guard let item = PatchItem(from: &reader, in: patch) else {
                outcome.isMalformed = true
                return outcome
            }
            outcome.itemCount += 1
            outcome.stale.append(item.name)
        }
        outcome.isMalformed = !reader.isAtCleanEnd
        return outcome
    }

    // MARK: The response

    private func appendResponse(
        _ done: IdentifyDone, _ outcome: PatchOutcome, _ work: IdentifyWork,
        into results: inout ByteBuffer
    ) {
        let header = self.pool.header(done.shown).pointee
        let start = ResultHeader(
            rejection: .none, flags: work.isAlias ? [.redirected] : [], kind: .identify,
            lsn: work.call.lsn
        ).begin(in: &results)
        IdentifyResultBody(
            profileID: header.id, revision: header.revision, outcome: done.outcome,
            mergeID: done.mergeID,
            redirectedFrom: work.isAlias
                ? IdentifierView(kind: .customID, bytes: work.header.customID) : nil,
            itemCount: outcome.itemCount
        ).write(into: &results)
        results.appendVarint(UInt64(outcome.stale.count))
        for name in outcome.stale { results.appendPrefixed(name) }
        self.append(work.warnings, to: &results)
        ResultHeader.end(at: start, in: &results)
    }
}

extension CommandHead.Subject {
    /// `nil`: the call does not name such an identifier.
    fileprivate init?(
        _ kind: IdentifierKind, _ bytes: UnsafeRawBufferPointer, _ header: IdentifyHeader,
        _ hash: KeyedHash
    ) {
        guard bytes.count > 0 else { return nil }
        let identifier = IdentifierView(kind: kind, bytes: bytes)
        self.init(identifier: identifier, hash: hash.identifier(header.project, identifier))
    }
}

/// The outcome of an Identify.
struct IdentifyDone {
    var shown: ProfileRef
    var outcome: IdentifyOutcome
    /// Zeros: none.
    var mergeID = ProfileID(high: 0, low: 0)
}
