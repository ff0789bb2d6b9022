import Bytes
import CMessages
import Profiles

/// A decoded UpdateSubscriptionRequest, in the arena; valid until the decoder is used again.
package struct DecodedSubscription {
    let request: UnsafeMutablePointer<Profiles__V1__UpdateSubscriptionRequest>

    /// The project's name, as sent.
    package var project: UnsafeRawBufferPointer { ValuePacker.text(self.request.pointee.project) }
    /// Changes in the message.
    package var changeCount: Int { self.request.pointee.n_changes }
}

extension MessageDecoder {
    /// Decodes an UpdateSubscriptionRequest, bounded and checked on the wire, but not yet
    /// validated.
    package func decodeUpdateSubscription(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedSubscription
    > {
        self.decode(message, root: WireSchema.shared.updateSubscriptionRequest) {
            allocator, count, bytes in
            profiles__v1__update_subscription_request__unpack(allocator, count, bytes).map {
                DecodedSubscription(request: $0)
            }
        }
    }

    /// Validates an UpdateSubscription and appends its record; a violation leaves `buffer` as it
    /// was.
    ///
    /// - Parameter project: `nil`: the project is unknown; its name may be no name at all.
    /// - Returns: The violations, none if the record was written.
    package func writeUpdateSubscription(
        _ subscription: DecodedSubscription, project: ProjectID?, into buffer: inout ByteBuffer
    ) -> Violations {
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        let start = beginRecord(.updateSubscription, in: &buffer)
        self.write(
            subscription.request.pointee, project: project ?? ProjectID(rawValue: 0), into: &buffer)
        guard self.packer.violations.isEmpty else {
            buffer.truncate(to: start)
            return self.packer.violations
        }
        endRecord(at: start, operations: subscription.changeCount, in: &buffer)
        return Violations()
    }

    /// Appends the payload of an UpdateSubscription; violations are noted below the packer's path.
    func write(
        _ request: Profiles__V1__UpdateSubscriptionRequest, project: ProjectID,
        into buffer: inout ByteBuffer
    ) {
        self.checkProject(request.project)
        if request.n_changes < 1 || request.n_changes > SubscriptionHeader.changesMax {
            self.packer.add(
                "\(request.n_changes) changes, 1 to \(SubscriptionHeader.changesMax) are needed",
                at: "changes")
        }
        let count = min(request.n_changes, SubscriptionHeader.changesMax)
        let source = self.consentSource(request.source)
        SubscriptionHeader(
            project: project, source: source, changeCount: count,
            identifier: self.identifier(request.identifier),
            requestID: self.requestID(request.request_id),
            occurredAt: self.time(request.occurred_at, "occurred_at"),
            sentAt: self.time(request.sent_at, "sent_at"),
            expectedRevision: request.expected_revision?.pointee.value,
            evidence: self.evidence(request.evidence)
        ).write(into: &buffer)
        for index in 0 ..< count {
            guard let change = request.changes[index] else { continue }
            self.packer.path.push("changes")
            self.packer.path.push(index: index)
            SubscriptionChangeView(
                channel: self.channel(change.pointee.channel),
                topic: self.topic(change.pointee.topic),
                state: self.state(change.pointee.state, source)
            ).write(into: &buffer)
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
