import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

extension MessageDecoder {
    /// Decodes and validates an UpdateSubscriptionRequest.
    package func decodeUpdateSubscription(
        _ message: UnsafeRawBufferPointer
    ) -> Decoded<DecodedWrite> {
        self.decode(
            message, as: WireSchema.shared.updateSubscriptionRequest,
            itemCount: { $0.pointee.n_changes },
            validate: { request in
                self.beginPayload()
                self.pack(request.pointee)
                return DecodedWrite(
                    project: ValuePacker.text(request.pointee.project), kind: .updateSubscription,
                    operations: request.pointee.n_changes, itemCount: request.pointee.n_changes)
            })
    }

    /// Packs the payload of an UpdateSubscription; violations are noted below the packer's path.
    func pack(_ request: Profiles__V1__UpdateSubscriptionRequest) {
        self.checkProject(request.project)
        if request.n_changes < 1 || request.n_changes > SubscriptionHeader.changesMax {
            self.packer.add(
                "\(request.n_changes) changes, 1 to \(SubscriptionHeader.changesMax) are needed",
                at: "changes")
        }
        let count = min(request.n_changes, SubscriptionHeader.changesMax)
        let source = self.consentSource(request.source)
        self.markProject()
        SubscriptionHeader(
            project: .unresolved, source: source, changeCount: count,
            identifier: self.identifier(request.identifier),
            requestID: self.requestID(request.request_id),
            occurredAt: self.time(request.occurred_at, "occurred_at"),
            sentAt: self.time(request.sent_at, "sent_at"),
            expectedRevision: self.expectedRevision(request.expected_revision),
            evidence: self.evidence(request.evidence), isImported: self.imported != nil
        ).write(into: &self.payload)
        for index in 0 ..< count {
            guard let change = request.changes[index] else { continue }
            self.packer.path.push("changes")
            self.packer.path.push(index: index)
            let before = self.packer.violations.count
            SubscriptionChangeView(
                channel: self.channel(change.pointee.channel),
                topic: self.topic(change.pointee.topic),
                state: self.state(change.pointee.state, source)
            ).write(into: &self.payload)
            if self.packer.violations.count > before, self.batchProject == nil {
                self.packer.violations.index = self.packer.violations.index ?? index
            }
            self.packer.path.pop()
            self.packer.path.pop()
        }
    }

    private func consentSource(_ raw: Profiles__V1__ConsentSource) -> ConsentSource {
        guard let source = ConsentSource(rawValue: UInt8(clamping: raw.rawValue)) else {
            self.packer.add("not a source of the contract", at: "source")
            return .api
        }
        if source == .system {
            self.packer.add("SYSTEM, which only the service itself is", at: "source")
        }
        return source
    }

    private func state(_ raw: Profiles__V1__SubscriptionState, _ source: ConsentSource)
        -> SubscriptionState
    {
        guard let state = SubscriptionState(rawValue: UInt8(clamping: raw.rawValue)) else {
            self.packer.add("not a state of the contract", at: "state")
            return .unset
        }
        if state == .pending {
            self.packer.add(
                "PENDING, which comes of a subscription under double opt-in only", at: "state")
            return .unset
        }
        if state == .subscribed, source == .oneClick {
            self.packer.add("SUBSCRIBED by one click, which can only opt out", at: "state")
        }
        return state
    }
}
