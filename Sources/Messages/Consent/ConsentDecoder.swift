import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

// The smaller requests about consent: each is validated whole when it is decoded. What they borrow
// lies in the arena.

/// A valid ConfirmSubscriptionRequest or RedeemUnsubscribeTokenRequest, whose token is yet to be
/// verified.
package struct DecodedTokenRequest: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var token: UnsafeRawBufferPointer
    package var evidence: EvidenceView?
    package var itemCount: Int { 1 }
}

/// A valid AddSuppressionRequest or RemoveSuppressionRequest.
package struct DecodedSuppression: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var channel: Channel
    package var address: UnsafeRawBufferPointer
    /// `nil`: all.
    package var reason: SuppressionReason?
}

/// A valid CheckSendableRequest or CreateUnsubscribeTokenRequest.
package struct DecodedChannelRequest: DecodedRequest {
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
package struct DecodedLedgerRequest: DecodedRequest {
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
        self.decode(
            message, as: WireSchema.shared.confirmSubscriptionRequest, itemCount: { _ in 1 },
            validate: { request in
                self.checkProject(request.pointee.project)
                return DecodedTokenRequest(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    token: self.token(request.pointee.token))
            })
    }

    package func decodeRedeemUnsubscribeToken(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedTokenRequest
    > {
        self.decode(
            message, as: WireSchema.shared.redeemUnsubscribeTokenRequest, itemCount: { _ in 1 },
            validate: { request in
                self.checkProject(request.pointee.project)
                return DecodedTokenRequest(
                    project: ValuePacker.text(request.pointee.project),
                    requestID: self.id(request.pointee.request_id, "request_id"),
                    token: self.token(request.pointee.token),
                    evidence: self.evidence(request.pointee.evidence))
            })
    }

    package func decodeAddSuppression(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedSuppression
    > {
        self.decode(message, as: WireSchema.shared.addSuppressionRequest) { request in
            self.checkProject(request.pointee.project)
            let reason = SuppressionReason(
                rawValue: UInt8(clamping: request.pointee.reason.rawValue))
            if reason == nil { self.packer.add("not a reason of the contract", at: "reason") }
            let channel = self.channel(request.pointee.channel)
            return DecodedSuppression(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                channel: channel, address: self.address(request.pointee.address, channel),
                reason: reason)
        }
    }

    package func decodeRemoveSuppression(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedSuppression
    > {
        self.decode(message, as: WireSchema.shared.removeSuppressionRequest) { request in
            self.checkProject(request.pointee.project)
            let raw = UInt8(clamping: request.pointee.reason.rawValue)
            let reason = SuppressionReason(rawValue: raw)
            if raw != 0, reason == nil {
                self.packer.add("not a reason of the contract", at: "reason")
            }
            let channel = self.channel(request.pointee.channel)
            return DecodedSuppression(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                channel: channel, address: self.address(request.pointee.address, channel),
                reason: reason)
        }
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
        DecodedChannelRequest
    > {
        self.decode(message, as: WireSchema.shared.checkSendableRequest) { request in
            self.checkProject(request.pointee.project)
            let messageClass = MessageClass(
                rawValue: UInt8(clamping: request.pointee.message_class.rawValue))
            if messageClass == nil {
                self.packer.add("not a class of the contract", at: "message_class")
            }
            return DecodedChannelRequest(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier),
                channel: self.channel(request.pointee.channel),
                topic: self.topic(request.pointee.topic),
                messageClass: messageClass ?? .marketing, minLSN: request.pointee.min_lsn)
        }
    }

    package func decodeCreateUnsubscribeToken(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedChannelRequest
    > {
        self.decode(message, as: WireSchema.shared.createUnsubscribeTokenRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedChannelRequest(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier),
                channel: self.channel(request.pointee.channel),
                topic: self.topic(request.pointee.topic))
        }
    }

    package func decodeListConsentHistory(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLedgerRequest
    > {
        self.decode(message, as: WireSchema.shared.listConsentHistoryRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedLedgerRequest(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier),
                pageSize: self.pageSize(request.pointee.page_size),
                pageToken: ValuePacker.text(request.pointee.page_token))
        }
    }

    /// A `page_size`; 0 stands for the default.
    func pageSize(_ size: UInt32) -> Int {
        if size > Self.pageSizeMax {
            self.packer.add("\(size), at most \(Self.pageSizeMax) is allowed", at: "page_size")
        }
        return size == 0 ? Self.pageSizeDefault : Int(size)
    }

    package func decodeVerifyConsentLedger(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLedgerRequest
    > {
        self.decode(message, as: WireSchema.shared.verifyConsentLedgerRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedLedgerRequest(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier),
                pageSize: 0, pageToken: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }
}
