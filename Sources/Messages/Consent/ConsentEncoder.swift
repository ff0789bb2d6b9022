import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

extension MessageEncoder {
    /// The UpdateSubscriptionResponse of a result, as a C message in the arena.
    func subscriptionResponse(
        _ header: ResultHeader, body: inout ByteReader
    ) -> (UnsafeMutablePointer<Profiles__V1__UpdateSubscriptionResponse>, ItemOutcomes) {
        let result = Self.readResult(&body)
        let response = self.arena.make(profiles__v1__update_subscription_response__init)
        response.pointee.profile_id = self.profileIDText(result.profileID)
        response.pointee.revision = result.revision
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        if let from = result.redirectedFrom {
            response.pointee.redirected_from = self.identifierText(from)
        }
        response.pointee.n_results = result.changeCount
        response.pointee.results = self.arena.pointers(result.changeCount)
        response.pointee.n_entries = result.changeCount
        response.pointee.entries = self.arena.pointers(result.changeCount)
        var outcomes = ItemOutcomes()
        for index in 0 ..< result.changeCount {
            let change = Self.readChange(&body)
            response.pointee.results[index] = self.subscriptionResult(change)
            response.pointee.entries[index] = self.consentEntry(
                change.entry, change.previousHash, change.hash)
            outcomes.count(change, isReplay: header.isReplayed)
        }
        response.pointee.subscriptions = self.subscriptions(&body)
        return (response, outcomes)
    }

    private func subscriptionResult(
        _ change: SubscriptionResultView
    ) -> UnsafeMutablePointer<Profiles__V1__SubscriptionResult> {
        let result = self.arena.make(profiles__v1__subscription_result__init)
        result.pointee.channel = Profiles__V1__Channel(rawValue: UInt32(change.channel.rawValue))
        result.pointee.topic = self.arena.string(change.topic)
        result.pointee.state = Profiles__V1__SubscriptionState(
            rawValue: UInt32(change.state.rawValue))
        result.pointee.applied = change.applied ? 1 : 0
        result.pointee.confirmation_token = self.arena.string(change.token)
        return result
    }

    /// An entry of the ledger: what was hashed, and the two hashes.
    func consentEntry(
        _ entry: UnsafeRawBufferPointer, _ previous: SHA256Digest, _ hash: SHA256Digest
    ) -> UnsafeMutablePointer<Profiles__V1__ConsentEntry> {
        // SAFETY: protobuf-c reads `entry.count` bytes during the call and copies what it keeps.
        let bytes = entry.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard
            let message = profiles__v1__consent_entry__unpack(
                self.arena.allocator, entry.count, bytes)
        else {
            preconditionFailure("an entry of this process is whole")
        }
        message.pointee.previous_hash = self.digestBytes(previous)
        message.pointee.hash = self.digestBytes(hash)
        return message
    }

    private func digestBytes(_ digest: SHA256Digest) -> ProtobufCBinaryData {
        let bytes = self.arena.memory(SHA256Digest.bytes)
        bytes.storeBytes(of: digest.words.0.bigEndian, as: UInt64.self)
        bytes.storeBytes(of: digest.words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: digest.words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
        bytes.storeBytes(of: digest.words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
        // SAFETY: the arena gave `SHA256Digest.bytes` bytes, until its reset.
        return ProtobufCBinaryData(
            len: SHA256Digest.bytes, data: bytes.assumingMemoryBound(to: UInt8.self))
    }

    /// The list of subscriptions that stands in a result.
    private func subscriptions(_ list: inout ByteReader) -> UnsafeMutablePointer<
        Profiles__V1__Subscriptions
    > {
        var items: [UnsafeMutablePointer<Profiles__V1__Subscription>] = []
        SubscriptionView.forEach(in: &list) { items.append(self.subscription($0)) }
        return self.subscriptions(items)
    }

    /// The subscriptions of a profile.
    func subscriptions(of image: ProfileImage) -> UnsafeMutablePointer<Profiles__V1__Subscriptions>
    {
        var items: [UnsafeMutablePointer<Profiles__V1__Subscription>] = []
        image.forEachSubscription { items.append(self.subscription($0)) }
        return self.subscriptions(items)
    }

    private func subscriptions(
        _ items: [UnsafeMutablePointer<Profiles__V1__Subscription>]
    ) -> UnsafeMutablePointer<Profiles__V1__Subscriptions> {
        let message = self.arena.make(profiles__v1__subscriptions__init)
        message.pointee.n_items = items.count
        message.pointee.items = self.arena.pointers(items.count)
        for (index, item) in items.enumerated() { message.pointee.items[index] = item }
        return message
    }

    private func subscription(_ view: SubscriptionView) -> UnsafeMutablePointer<
        Profiles__V1__Subscription
    > {
        let subscription = self.arena.make(profiles__v1__subscription__init)
        subscription.pointee.channel = Profiles__V1__Channel(
            rawValue: UInt32(view.channel.rawValue))
        subscription.pointee.topic = self.arena.string(view.topic)
        subscription.pointee.state = Profiles__V1__SubscriptionState(
            rawValue: UInt32(view.state.rawValue))
        subscription.pointee.source = Profiles__V1__ConsentSource(
            rawValue: UInt32(view.source.rawValue))
        subscription.pointee.effective_time = self.timestamp(view.effectiveTime)
        return subscription
    }

    /// Appends the ConfirmSubscriptionResponse of a result that was carried out.
    package func encodeConfirmSubscriptionResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) -> ItemOutcomes {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__confirm_subscription_response__init)
        let (result, outcomes) = self.skipChange(header, &body)
        response.pointee.profile_id = self.profileIDText(result.profileID)
        response.pointee.revision = result.revision
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        response.pointee.subscriptions = self.subscriptions(&body)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
        return outcomes
    }

    /// Appends the RedeemUnsubscribeTokenResponse of a result that was carried out.
    package func encodeRedeemUnsubscribeTokenResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) -> ItemOutcomes {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__redeem_unsubscribe_token_response__init)
        let (_, outcomes) = self.skipChange(header, &body)
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
        return outcomes
    }

    /// The body of a token's result up to its subscriptions, and what became of its one change.
    private func skipChange(
        _ header: ResultHeader, _ body: inout ByteReader
    ) -> (result: SubscriptionResultBody, outcomes: ItemOutcomes) {
        let result = Self.readResult(&body)
        var outcomes = Self.skipChanges(of: result, header, &body)
        // Used before, or the person is gone: nothing was left to change.
        if result.changeCount == 0 { outcomes.duplicate = 1 }
        return (result, outcomes)
    }

    /// Appends the response to a suppression that was carried out.
    package func encodeSuppressionResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) -> ItemOutcomes {
        self.arena.reset()
        let existed = body.read(UInt8.self)
        let replayed: protobuf_c_boolean = header.isReplayed ? 1 : 0
        if header.kind == .addSuppression {
            let response = self.arena.make(profiles__v1__add_suppression_response__init)
            response.pointee.lsn = header.lsn
            response.pointee.replayed = replayed
            Self.pack(UnsafeMutableRawPointer(response), into: &output)
        } else {
            let response = self.arena.make(profiles__v1__remove_suppression_response__init)
            response.pointee.existed = protobuf_c_boolean(existed)
            response.pointee.lsn = header.lsn
            response.pointee.replayed = replayed
            Self.pack(UnsafeMutableRawPointer(response), into: &output)
        }
        return ItemOutcomes()
    }

    // MARK: Reads

    package func encodeCheckSendableResponse(
        isSendable: Bool, reason: SendableReason, appliedLSN: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__check_sendable_response__init)
        response.pointee.sendable = isSendable ? 1 : 0
        response.pointee.reason = Profiles__V1__SendableReason(rawValue: UInt32(reason.rawValue))
        response.pointee.lsn = appliedLSN
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    package func encodeCreateUnsubscribeTokenResponse(
        token: UnsafeRawBufferPointer, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__create_unsubscribe_token_response__init)
        response.pointee.token = self.arena.string(token)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    package func encodeListConsentHistoryResponse(
        _ page: ArraySlice<ListedEntry>, nextPageToken: UnsafeRawBufferPointer,
        into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_consent_history_response__init)
        response.pointee.n_entries = page.count
        response.pointee.entries = self.arena.pointers(page.count)
        for (index, listed) in page.enumerated() {
            response.pointee.entries[index] = self.consentEntry(
                listed.entry, listed.previousHash, listed.hash)
        }
        response.pointee.next_page_token = self.arena.string(nextPageToken)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends entries as they stand in a ListConsentHistoryResponse, so that the bytes are one by
    /// themselves.
    package func encodeConsentEntries(_ entries: [ListedEntry], into output: inout ByteBuffer) {
        for index in entries.indices {
            self.encodeListConsentHistoryResponse(
                entries[index ... index],
                nextPageToken: UnsafeRawBufferPointer(start: nil, count: 0), into: &output)
        }
    }

    package func encodeVerifyConsentLedgerResponse(
        _ verified: VerifiedLedger, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__verify_consent_ledger_response__init)
        response.pointee.valid = verified.isValid ? 1 : 0
        response.pointee.entries = verified.entryCount
        response.pointee.head = self.digestBytes(verified.head)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
