import Bytes

// The writes of consent in two passes: every change is evaluated on a copy of what is stored, and
// the first that is rejected rejects the call; then state, ledger and revision change at once
// (Store+ConsentCommit.swift), which cannot fail. Source: docs/rules.md, section 5.
//
// SAFETY: a block of consent is borrowed by `ConsentPart(_:)`, which copies what it keeps;
// `changes`, `state` and `work` are one element each that `Store` owns. All of it runs on the
// applier.

extension Store {
    /// Carries out one UpdateSubscription.
    func updateSubscription(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        var reader = ByteReader(record.payload)
        guard let header = SubscriptionHeader(from: &reader), Self.isWellFormed(header, record)
        else {
            throw .malformed(lsn: call.firstLSN)
        }
        let changes = try self.readChanges(header, &reader, call)
        let hash = self.hash.identifier(header.project, header.identifier)
        let head = CommandHead(
            kind: .updateSubscription, project: header.project, requestID: header.requestID,
            first: CommandHead.Subject(identifier: header.identifier, hash: hash),
            sentAt: header.sentAtField)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let found = admitted.first

        let revision = found.map { self.pool.header($0.profile).pointee.revision } ?? 0
        if let expected = header.expectedRevision, expected != revision {
            return self.appendRejection(
                .revisionMismatch, .updateSubscription, call, detail: revision, into: &results)
        }
        guard found != nil || header.identifier.kind != .profileID else {
            return self.appendRejection(.profileNotFound, .updateSubscription, call, into: &results)
        }
        var work = ConsentWork(
            kind: .updateSubscription, call: call, project: header.project,
            evidence: header.evidence,
            origin: ChangeOrigin(isHistorical: header.flags.contains(.imported)),
            part: found.map { self.consentPart(self.pool.header($0.profile).pointee) }
                ?? ConsentPart())
        for (index, change) in changes.enumerated() {
            let rejection = self.evaluate(change, index, header, &work)
            guard rejection == .none else {
                return self.appendRejection(
                    rejection, .updateSubscription, call, index: UInt8(index),
                    detail: rejection == .limitExceeded
                        ? UInt64(ConsentPart.topicsPerChannelMax) : 0,
                    into: &results)
            }
        }
        let start = results.count
        let profile = found?.profile ?? self.createProfile(of: header.identifier, hash: hash, work)
        self.commit(
            work, to: profile, isNew: found == nil,
            redirectedFrom: found?.isAlias ?? false ? header.identifier : nil, results: &results)
        self.end(admitted, results, from: start, call)
    }

    private static func isWellFormed(_ header: SubscriptionHeader, _ record: RecordView) -> Bool {
        guard 1 ... SubscriptionHeader.changesMax ~= header.changeCount,
            header.changeCount == record.operations,
            header.requestID.count <= RequestDeduplication.idBytesMax
        else { return false }
        switch header.identifier.kind {
        case .profileID: return header.identifier.bytes.count == ProfileID.binaryBytes
        case .customID, .installationID:
            return 1 ... Int(UInt16.max) ~= header.identifier.bytes.count
        }
    }

    private func readChanges(
        _ header: SubscriptionHeader, _ reader: inout ByteReader, _ call: CallContext
    ) throws(ApplyError) -> [SubscriptionChangeView] {
        var changes: [SubscriptionChangeView] = []
        changes.reserveCapacity(header.changeCount)
        for _ in 0 ..< header.changeCount {
            guard let change = SubscriptionChangeView(from: &reader) else {
                throw .malformed(lsn: call.firstLSN)
            }
            changes.append(change)
        }
        guard reader.isAtCleanEnd else { throw .malformed(lsn: call.firstLSN) }
        return changes
    }

    /// What a profile's consent is, to be changed.
    func consentPart(_ header: ProfileHeader) -> ConsentPart {
        guard header.consent != 0 else { return ConsentPart() }
        return ConsentPart(
            UnsafeRawBufferPointer(
                start: self.slab.pointer(header.consent), count: Int(header.consentBytes)))
    }

    // MARK: Evaluation

    private func evaluate(
        _ view: SubscriptionChangeView, _ index: Int, _ header: SubscriptionHeader,
        _ work: inout ConsentWork
    ) -> Rejection {
        // Whatever the source, an import opens nothing for the person; it may close.
        let isImported = header.flags.contains(.imported)
        let change = ConsentChange(
            channel: view.channel, state: view.state,
            source: isImported && view.state != .unsubscribed ? .imported : header.source,
            effectiveTime: Self.effectiveTime(
                occurredAt: header.occurredAt, sentAt: header.sentAt,
                receivedAt: work.call.receivedAt),
            hasReference: (header.evidence?.reference.count ?? 0) > 0,
            needsConfirmation: self.project.options.doubleOptIn & 1 << view.channel.rawValue
                != 0, isImported: isImported)
        return work.evaluate(
            change, topic: view.topic, lsn: work.call.firstLSN + UInt64(index))
    }

    // MARK: Tokens

    /// Carries out one ConfirmSubscription.
    func confirmSubscription(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = TokenCommand(record.payload), record.operations == 1,
            command.token.kind == .confirmation, command.token.project == command.project,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .confirmSubscription, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let token = command.token
        guard let profile = self.find(token) else {
            return self.appendRejection(.tokenInvalid, .confirmSubscription, call, into: &results)
        }
        var work = ConsentWork(
            kind: .confirmSubscription, call: call, project: command.project,
            part: self.consentPart(self.pool.header(profile).pointee))
        let key =
            work.part.find(token.channel, token.topic)
            ?? ConsentPart.Key(channel: token.channel, topic: token.topic)
        switch ConfirmationOutcome.evaluate(
            key.stored, pendingSince: key.pendingSince, tokenLSN: token.lsn,
            age: call.clock - token.issuedAt)
        {
        case .rejected(let rejection):
            return self.appendRejection(rejection, .confirmSubscription, call, into: &results)
        case .alreadySubscribed: break
        case .confirmed:
            let time = max(call.receivedAt, key.stored.effectiveTime)
            work.evaluated.append(
                EvaluatedChange(
                    channel: token.channel, topic: token.topic, before: .pending,
                    after: .subscribed, applied: true,
                    source: .user, effectiveTime: time, lsn: call.lsn))
            work.set(
                StoredConsent(state: .subscribed, source: .user, effectiveTime: time), key,
                lsn: call.lsn)
        }
        let start = results.count
        self.commit(work, to: profile, isNew: false, redirectedFrom: nil, results: &results)
        self.end(admitted, results, from: start, call)
    }

    /// Carries out one RedeemUnsubscribeToken. The response for a profile that no longer exists is
    /// that of any other: the link has done its work.
    func redeemUnsubscribe(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = TokenCommand(record.payload), record.operations == 1,
            command.token.kind == .unsubscribe, command.token.project == command.project,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        // The link of an erased person has done its work and is not an error; its request id stays
        // with the erased call.
        let head = CommandHead(
            kind: .redeemUnsubscribe, project: command.project, requestID: command.requestID,
            proceedsAfterErasure: true)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let start = results.count
        if let profile = self.find(command.token) {
            var work = ConsentWork(
                kind: .redeemUnsubscribe, call: call, project: command.project,
                evidence: command.evidence,
                part: self.consentPart(self.pool.header(profile).pointee))
            let change = ConsentChange(
                channel: command.token.channel, state: .unsubscribed, source: .oneClick,
                effectiveTime: call.receivedAt)
            // An opt-out is never rejected.
            _ = work.evaluate(change, topic: command.token.topic, lsn: call.lsn)
            self.commit(work, to: profile, isNew: false, redirectedFrom: nil, results: &results)
        } else {
            let result = ResultHeader(
                rejection: .none, flags: [], kind: .redeemUnsubscribe, lsn: call.lsn
            ).begin(in: &results)
            SubscriptionResultBody(
                profileID: ProfileID(high: 0, low: 0), revision: 0, redirectedFrom: nil,
                changeCount: 0
            ).write(into: &results)
            ConsentPart().appendImage(to: &results)
            ResultHeader.end(at: result, in: &results)
        }
        self.end(admitted, results, from: start, call)
    }

    /// Who a token's profile is today.
    private func find(_ token: ConsentToken) -> ProfileRef? {
        withUnsafeBytes(of: (token.profileID.high.bigEndian, token.profileID.low.bigEndian)) { id in
            let identifier = IdentifierView(kind: .profileID, bytes: id)
            return self.identities.find(
                token.project, identifier, hash: self.hash.identifier(token.project, identifier))?
                .profile
        }
    }

    // MARK: Suppression

    /// Carries out one AddSuppression or RemoveSuppression.
    func changeSuppression(
        _ record: RecordView, _ kind: RecordKind, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = SuppressionCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: kind, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        // Reasons that a former release kept under another hash move to the one of today.
        let former =
            command.formerAddress.map { self.suppressions.reasons(command.project, $0) } ?? []
        let before = self.suppressions.reasons(command.project, command.address).union(former)
        let after =
            kind == .addSuppression
            ? before.union(command.reasons) : before.subtracting(command.reasons)
        guard
            !before.isEmpty || after.isEmpty || !self.suppressions.isFull(self.project)
        else {
            return self.appendRejection(
                .limitExceeded, kind, call, detail: UInt64(SuppressionStore.addressesMax),
                into: &results)
        }
        self.changes.pointee.isStaged = true
        self.changes.pointee.suppression = ChangeSet.SuppressionChange(
            address: command.address, reasons: after,
            formerAddress: former.isEmpty ? nil : command.formerAddress)
        if self.recordsChanges, after != before {
            self.noteSuppression(of: command.address, after, call)
        }
        self.finish(call)
        let start = ResultHeader(rejection: .none, flags: [], kind: kind, lsn: call.lsn).begin(
            in: &results)
        results.append(before.intersection(command.reasons).isEmpty ? UInt8(0) : 1)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }
}
