import Bytes

// The writes of consent in two passes: every change is judged on a copy of what is stored, and the
// first that is refused refuses the call; then state, ledger and revision change at once
// (Store+ConsentCommit.swift), which cannot fail. Source: docs/rules.md, section 5.

/// A change that was judged.
struct EvaluatedChange {
    var channel: Channel
    var topic: UnsafeRawBufferPointer
    var before: SubscriptionState
    var after: SubscriptionState
    var applied: Bool
    var needsToken = false
    var source: ConsentSource
    /// Microseconds since 1970.
    var effectiveTime: Int64
    var lsn: UInt64
}

/// A call that changes consent, on its way.
struct ConsentWork {
    var kind: RecordKind
    var call: CallContext
    var project: ProjectID
    var evidence: EvidenceView?
    /// What will be stored.
    var part = ConsentPart()
    var evaluated: [EvaluatedChange] = []
    /// A reader can see a difference.
    var isVisible = false
}

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
        guard header.project == self.project.id else {
            return self.appendRejection(.projectNotFound, .updateSubscription, call, into: &results)
        }
        let hash = self.hash.identifier(header.project, header.identifier)
        let found = self.find(header.project, header.identifier, hash: hash)
        if found == nil,
            self.rejectBlocked(
                header.identifier, header.project, .updateSubscription, call, into: &results)
        {
            return
        }
        let lookup = self.remembered(.updateSubscription, header.requestID, record, call)
        if self.replayResponse(lookup, call, into: &results) { return }

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
        if let lookup { self.remember(lookup, results, from: start, call) }
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

    // MARK: Judging

    private func evaluate(
        _ view: SubscriptionChangeView, _ index: Int, _ header: SubscriptionHeader,
        _ work: inout ConsentWork
    ) -> Rejection {
        let change = ConsentChange(
            channel: view.channel, state: view.state, source: header.source,
            effectiveTime: Self.effectiveTime(
                occurredAt: header.occurredAt, sentAt: header.sentAt,
                receivedAt: work.call.receivedAt),
            hasReference: (header.evidence?.reference.count ?? 0) > 0,
            needsConfirmation: self.state.pointee.options.doubleOptIn & 1 << view.channel.rawValue
                != 0)
        return self.evaluate(
            change, topic: view.topic, lsn: work.call.firstLSN + UInt64(index), &work)
    }

    /// Judges one change on what the changes before it left.
    private func evaluate(
        _ change: ConsentChange, topic: UnsafeRawBufferPointer, lsn: UInt64,
        _ work: inout ConsentWork
    ) -> Rejection {
        let known = work.part.find(change.channel, topic)
        let before = known ?? ConsentPart.Key(channel: change.channel, topic: topic)
        var evaluated = EvaluatedChange(
            channel: change.channel, topic: topic, before: before.stored.state,
            after: before.stored.state, applied: false,
            source: change.source, effectiveTime: change.effectiveTime, lsn: lsn)
        switch before.stored.evaluate(change) {
        case .rejected: return .userUnsubscribed
        case .stale: break
        case .applied(let stored, let needsToken):
            if known == nil, topic.count > 0 {
                let topicsMax =
                    stored.state == .unsubscribed
                    ? ConsentPart.topicsPerChannelHeldMax : ConsentPart.topicsPerChannelMax
                if work.part.topicCount(change.channel) >= topicsMax { return .limitExceeded }
            }
            evaluated.after = stored.state
            evaluated.applied = true
            evaluated.needsToken = needsToken
            self.set(stored, before, lsn: lsn, &work)
        }
        work.evaluated.append(evaluated)
        return .none
    }

    private func set(
        _ stored: StoredConsent, _ before: ConsentPart.Key, lsn: UInt64, _ work: inout ConsentWork
    ) {
        var after = before
        after.stored = stored
        if stored.state != .pending {
            after.pendingSince = 0
        } else if before.stored.state != .pending {
            after.pendingSince = lsn
        }
        if stored.state != before.stored.state || stored.source != before.stored.source
            || stored.effectiveTime != before.stored.effectiveTime
        {
            work.isVisible = true
        }
        work.part.set(after)
    }

    // MARK: Tokens

    /// Carries out one ConfirmSubscription.
    func confirmSubscription(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = TokenCommand(record.payload), record.operations == 1,
            command.token.kind == .confirmation,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        guard command.project == self.project.id else {
            return self.appendRejection(
                .projectNotFound, .confirmSubscription, call, into: &results)
        }
        let lookup = self.remembered(.confirmSubscription, command.requestID, record, call)
        if self.replayResponse(lookup, call, into: &results) { return }
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
            age: call.receivedAt - token.issuedAt)
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
            self.set(
                StoredConsent(state: .subscribed, source: .user, effectiveTime: time), key,
                lsn: call.lsn, &work)
        }
        let start = results.count
        self.commit(work, to: profile, isNew: false, redirectedFrom: nil, results: &results)
        if let lookup { self.remember(lookup, results, from: start, call) }
    }

    /// Carries out one RedeemUnsubscribeToken. A person that is gone is answered like any other:
    /// the link has done its work.
    func redeemUnsubscribe(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = TokenCommand(record.payload), record.operations == 1,
            command.token.kind == .unsubscribe,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        guard command.project == self.project.id else {
            return self.appendRejection(.projectNotFound, .redeemUnsubscribe, call, into: &results)
        }
        var lookup = self.remembered(.redeemUnsubscribe, command.requestID, record, call)
        // The link of an erased person is answered as if it were new: it has done its work, and its
        // id stays the erased call's.
        if let known = lookup?.entry, known.isErased { lookup = nil }
        if self.replayResponse(lookup, call, into: &results) { return }
        let start = results.count
        if let profile = self.find(command.token) {
            var work = ConsentWork(
                kind: .redeemUnsubscribe, call: call, project: command.project,
                evidence: command.evidence,
                part: self.consentPart(self.pool.header(profile).pointee))
            let change = ConsentChange(
                channel: command.token.channel, state: .unsubscribed, source: .oneClick,
                effectiveTime: call.receivedAt)
            // An opt-out is never refused.
            _ = self.evaluate(change, topic: command.token.topic, lsn: call.lsn, &work)
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
        if let lookup { self.remember(lookup, results, from: start, call) }
    }

    /// Who a token's profile is today.
    private func find(_ token: ConsentToken) -> ProfileRef? {
        withUnsafeBytes(of: (token.profileID.high.bigEndian, token.profileID.low.bigEndian)) { id in
            let identifier = IdentifierView(kind: .profileID, bytes: id)
            return self.find(
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
        guard command.project == self.project.id else {
            return self.appendRejection(.projectNotFound, kind, call, into: &results)
        }
        let lookup = self.remembered(kind, command.requestID, record, call)
        if self.replayResponse(lookup, call, into: &results) { return }
        let before = self.suppressions.reasons(command.address)
        let after =
            kind == .addSuppression
            ? before.union(command.reasons) : before.subtracting(command.reasons)
        guard
            !before.isEmpty || after.isEmpty
                || self.suppressions.count < SuppressionTable.addressesMax
        else {
            return self.appendRejection(
                .limitExceeded, kind, call, detail: UInt64(SuppressionTable.addressesMax),
                into: &results)
        }
        self.willChangeSuppression(of: command.address)
        self.suppressions.set(command.address, after) { self.publish(call.lsn) }
        let start = ResultHeader(rejection: .none, flags: [], kind: kind, lsn: call.lsn).begin(
            in: &results)
        results.append(before.intersection(command.reasons).isEmpty ? UInt8(0) : 1)
        ResultHeader.end(at: start, in: &results)
        if let lookup { self.remember(lookup, results, from: start, call) }
    }
}
