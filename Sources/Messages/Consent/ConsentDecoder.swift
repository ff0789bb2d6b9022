import Bytes
import CMessages
import Profiles

// The smaller requests about consent: each is validated whole when it is decoded. What they borrow
// lies in the arena.

/// A valid ConfirmSubscriptionRequest or RedeemUnsubscribeTokenRequest, whose token is yet to be
/// verified.
package struct DecodedTokenRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var token: UnsafeRawBufferPointer
    package var evidence: EvidenceView?
}

/// A valid AddSuppressionRequest or RemoveSuppressionRequest.
package struct DecodedSuppression {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var channel: Channel
    package var address: UnsafeRawBufferPointer
    /// `nil`: all.
    package var reason: SuppressionReason?
}

/// A valid CheckSendableRequest or CreateUnsubscribeTokenRequest.
package struct DecodedConsentQuestion {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    package var channel: Channel
    /// In lower case; empty: the whole channel.
    package var topic: UnsafeRawBufferPointer
    /// Of a CheckSendable.
    package var messageClass = MessageClass.marketing
    package var minLSN: UInt64 = 0
}

/// A valid ListConsentHistoryRequest or VerifyConsentLedgerRequest.
package struct DecodedLedgerQuestion {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    /// 1...1,000.
    package var pageSize: Int
    /// Empty: from the beginning.
    package var pageToken: UnsafeRawBufferPointer
}

extension MessageDecoder {
    /// Entries of a page, by default and at most.
    private static let pageSizeDefault = 100
    static let pageSizeMax = 1_000

    package func decodeConfirmSubscription(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedTokenRequest
    > {
        self.decode(message, root: WireSchema.shared.confirmSubscriptionRequest) {
            allocator, count, bytes in
            profiles__v1__confirm_subscription_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            return self.validated(
                DecodedTokenRequest(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    token: self.token(request.pointee.token)))
        }
    }

    package func decodeRedeemUnsubscribeToken(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedTokenRequest
    > {
        self.decode(message, root: WireSchema.shared.redeemUnsubscribeTokenRequest) {
            allocator, count, bytes in
            profiles__v1__redeem_unsubscribe_token_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            return self.validated(
                DecodedTokenRequest(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    token: self.token(request.pointee.token),
                    evidence: self.evidence(request.pointee.evidence)))
        }
    }

    /// Appends the record of a request whose token was verified.
    package func writeTokenCommand(
        _ kind: RecordKind, _ request: DecodedTokenRequest, _ token: ConsentToken,
        into buffer: inout ByteBuffer
    ) {
        let start = beginRecord(kind, in: &buffer)
        TokenCommand(
            project: token.project, requestID: request.requestID, token: token,
            evidence: request.evidence
        )
        .write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
    }

    package func decodeAddSuppression(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedSuppression
    > {
        self.decode(message, root: WireSchema.shared.addSuppressionRequest) {
            allocator, count, bytes in
            profiles__v1__add_suppression_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            let reason = SuppressionReason(
                rawValue: UInt8(clamping: request.pointee.reason.rawValue))
            if reason == nil { self.packer.add("not a reason of the contract", at: "reason") }
            let channel = self.channel(request.pointee.channel)
            return self.validated(
                DecodedSuppression(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    channel: channel, address: self.address(request.pointee.address, channel),
                    reason: reason))
        }
    }

    package func decodeRemoveSuppression(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedSuppression
    > {
        self.decode(message, root: WireSchema.shared.removeSuppressionRequest) {
            allocator, count, bytes in
            profiles__v1__remove_suppression_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            let raw = UInt8(clamping: request.pointee.reason.rawValue)
            let reason = SuppressionReason(rawValue: raw)
            if raw != 0, reason == nil {
                self.packer.add("not a reason of the contract", at: "reason")
            }
            let channel = self.channel(request.pointee.channel)
            return self.validated(
                DecodedSuppression(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    channel: channel, address: self.address(request.pointee.address, channel),
                    reason: reason))
        }
    }

    /// Appends the record of a suppression.
    package func writeSuppression(
        _ kind: RecordKind, _ request: DecodedSuppression, project: ProjectID, address: AddressHash,
        into buffer: inout ByteBuffer
    ) {
        let start = beginRecord(kind, in: &buffer)
        SuppressionCommand(
            project: project, reason: request.reason, address: address, requestID: request.requestID
        )
        .write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
    }

    /// An address of a channel, under the same rules as the attribute; a violation does not quote
    /// it.
    private func address(_ string: UnsafePointer<CChar>?, _ channel: Channel)
        -> UnsafeRawBufferPointer
    {
        let text = ValuePacker.text(string)
        switch channel {
        case .email:
            if let error = NativeRules.emailError(text) { self.packer.add(error, at: "address") }
        case .sms:
            if let error = NativeRules.phoneError(text) { self.packer.add(error, at: "address") }
        case .push: self.packer.add("PUSH, which has no addresses", at: "channel")
        }
        return text
    }

    package func decodeCheckSendable(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedConsentQuestion
    > {
        self.decode(message, root: WireSchema.shared.checkSendableRequest) {
            allocator, count, bytes in
            profiles__v1__check_sendable_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            let messageClass = MessageClass(
                rawValue: UInt8(clamping: request.pointee.message_class.rawValue))
            if messageClass == nil {
                self.packer.add("not a class of the contract", at: "message_class")
            }
            return self.validated(
                DecodedConsentQuestion(
                    project: ValuePacker.text(request.pointee.project),
                    identifier: self.identifier(request.pointee.identifier),
                    channel: self.channel(request.pointee.channel),
                    topic: self.topic(request.pointee.topic),
                    messageClass: messageClass ?? .marketing, minLSN: request.pointee.min_lsn))
        }
    }

    package func decodeCreateUnsubscribeToken(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedConsentQuestion
    > {
        self.decode(message, root: WireSchema.shared.createUnsubscribeTokenRequest) {
            allocator, count, bytes in
            profiles__v1__create_unsubscribe_token_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            return self.validated(
                DecodedConsentQuestion(
                    project: ValuePacker.text(request.pointee.project),
                    identifier: self.identifier(request.pointee.identifier),
                    channel: self.channel(request.pointee.channel),
                    topic: self.topic(request.pointee.topic)))
        }
    }

    package func decodeListConsentHistory(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLedgerQuestion
    > {
        self.decode(message, root: WireSchema.shared.listConsentHistoryRequest) {
            allocator, count, bytes in
            profiles__v1__list_consent_history_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            let size = Int(request.pointee.page_size)
            if size > Self.pageSizeMax {
                self.packer.add("\(size), at most \(Self.pageSizeMax) is allowed", at: "page_size")
            }
            return self.validated(
                DecodedLedgerQuestion(
                    project: ValuePacker.text(request.pointee.project),
                    identifier: self.identifier(request.pointee.identifier),
                    pageSize: size == 0 ? Self.pageSizeDefault : size,
                    pageToken: ValuePacker.text(request.pointee.page_token)))
        }
    }

    package func decodeVerifyConsentLedger(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLedgerQuestion
    > {
        self.decode(message, root: WireSchema.shared.verifyConsentLedgerRequest) {
            allocator, count, bytes in
            profiles__v1__verify_consent_ledger_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            return self.validated(
                DecodedLedgerQuestion(
                    project: ValuePacker.text(request.pointee.project),
                    identifier: self.identifier(request.pointee.identifier),
                    pageSize: 0, pageToken: UnsafeRawBufferPointer(start: nil, count: 0)))
        }
    }
}
