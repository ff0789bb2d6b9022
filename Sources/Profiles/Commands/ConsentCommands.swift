import Bytes

// The writes of consent as they stand in the log: validated and normalised (topics in lower case),
// tokens verified, addresses hashed.

/// Flags of a subscription command; raw values stand in the log.
package struct SubscriptionFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let hasExpectedRevision = SubscriptionFlags(rawValue: 1 << 0)
    package static let hasOccurredAt = SubscriptionFlags(rawValue: 1 << 1)
    package static let hasSentAt = SubscriptionFlags(rawValue: 1 << 2)
    package static let hasEvidence = SubscriptionFlags(rawValue: 1 << 3)
    /// Of an import: SUBSCRIBED and UNSET are evaluated with its source, and never make PENDING.
    package static let imported = SubscriptionFlags(rawValue: 1 << 4)
}

/// Everything of an UpdateSubscription but its changes; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | source: UInt8 | changeCount: UInt8 | identifierKind: UInt8 |
/// identifier: prefixed | requestID: prefixed (empty: none) | [occurredAt: Int64 µs] | [sentAt:
/// Int64 µs] | [expectedRevision: UInt64] | [evidence: EvidenceView]`, then the changes: `channel:
/// UInt8 | state: UInt8 | topic: prefixed` each.
package struct SubscriptionHeader {
    package var project: ProjectID
    package var flags: SubscriptionFlags
    package var source: ConsentSource
    /// 1...100.
    package var changeCount: Int
    package var identifier: IdentifierView
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Microseconds since 1970; `nil`: not given.
    package var occurredAt: Int64?
    package var sentAt: Int64?
    /// Of `sentAt` in the payload; of a header that was read.
    private var sentAtOffset = 0
    /// `nil`: the message has no time of sending.
    var sentAtField: SentAtField? {
        self.flags.contains(.hasSentAt)
            ? SentAtField(flag: SubscriptionFlags.hasSentAt.rawValue, offset: self.sentAtOffset)
            : nil
    }
    package var expectedRevision: UInt64?
    package var evidence: EvidenceView?

    /// Changes of one call.
    package static let changesMax = 100

    package init(
        project: ProjectID, source: ConsentSource, changeCount: Int, identifier: IdentifierView,
        requestID: UnsafeRawBufferPointer, occurredAt: Int64?, sentAt: Int64?,
        expectedRevision: UInt64?,
        evidence: EvidenceView?, isImported: Bool = false
    ) {
        self.project = project
        self.source = source
        self.changeCount = changeCount
        self.identifier = identifier
        self.requestID = requestID
        self.occurredAt = occurredAt
        self.sentAt = sentAt
        self.expectedRevision = expectedRevision
        self.evidence = evidence
        self.flags = []
        if expectedRevision != nil { self.flags.insert(.hasExpectedRevision) }
        if occurredAt != nil { self.flags.insert(.hasOccurredAt) }
        if sentAt != nil { self.flags.insert(.hasSentAt) }
        if evidence != nil { self.flags.insert(.hasEvidence) }
        if isImported { self.flags.insert(.imported) }
    }

    /// Appends the header; the changes follow by `SubscriptionChange.write`.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.append(self.source.rawValue)
        buffer.append(UInt8(self.changeCount))
        buffer.append(self.identifier.kind.rawValue)
        buffer.appendPrefixed(self.identifier.bytes)
        buffer.appendPrefixed(self.requestID)
        if let occurredAt = self.occurredAt { buffer.append(occurredAt) }
        if let sentAt = self.sentAt { buffer.append(sentAt) }
        if let expectedRevision = self.expectedRevision { buffer.append(expectedRevision) }
        self.evidence?.write(into: &buffer)
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.project = ProjectID(rawValue: reader.read())
        self.flags = SubscriptionFlags(rawValue: reader.read())
        guard let source = ConsentSource(rawValue: reader.read()) else { return nil }
        self.source = source
        self.changeCount = Int(reader.read(UInt8.self))
        guard let kind = IdentifierKind(rawValue: reader.read()) else { return nil }
        self.identifier = IdentifierView(kind: kind, bytes: reader.readPrefixed())
        self.requestID = reader.readPrefixed()
        self.occurredAt = self.flags.contains(.hasOccurredAt) ? reader.read() : nil
        self.sentAtOffset = reader.offset
        self.sentAt = self.flags.contains(.hasSentAt) ? reader.read() : nil
        self.expectedRevision = self.flags.contains(.hasExpectedRevision) ? reader.read() : nil
        self.evidence = self.flags.contains(.hasEvidence) ? EvidenceView(from: &reader) : nil
        guard !reader.overrun else { return nil }
    }
}

/// One change of an UpdateSubscription, borrowed.
package struct SubscriptionChangeView {
    package var channel: Channel
    /// Lower case; empty: the whole channel.
    package var topic: UnsafeRawBufferPointer
    /// Not `.pending`.
    package var state: SubscriptionState

    package init(channel: Channel, topic: UnsafeRawBufferPointer, state: SubscriptionState) {
        self.channel = channel
        self.topic = topic
        self.state = state
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.channel.rawValue)
        buffer.append(self.state.rawValue)
        buffer.appendPrefixed(self.topic)
    }

    package init?(from reader: inout ByteReader) {
        guard let channel = Channel(rawValue: reader.read()),
            let state = SubscriptionState(rawValue: reader.read()),
            state != .pending
        else { return nil }
        self.channel = channel
        self.state = state
        self.topic = reader.readPrefixed()
        guard !reader.overrun else { return nil }
    }
}

/// A ConfirmSubscription or RedeemUnsubscribeToken whose token was verified; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | requestID: prefixed (empty: none) | content: prefixed |
/// [evidence: EvidenceView]`; the content as `ConsentToken` lays it out.
package struct TokenCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var token: ConsentToken
    package var evidence: EvidenceView?

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer, token: ConsentToken,
        evidence: EvidenceView?
    ) {
        self.project = project
        self.requestID = requestID
        self.token = token
        self.evidence = evidence
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.evidence == nil ? 0 : SubscriptionFlags.hasEvidence.rawValue)
        buffer.appendPrefixed(self.requestID)
        var content = ByteBuffer(capacity: 128)
        self.token.write(into: &content)
        buffer.appendPrefixed(content.bytes)
        self.evidence?.write(into: &buffer)
    }

    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        let flags = SubscriptionFlags(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        guard let token = ConsentToken(content: reader.readPrefixed()) else { return nil }
        self.token = token
        self.evidence = flags.contains(.hasEvidence) ? EvidenceView(from: &reader) : nil
        guard reader.isAtCleanEnd else { return nil }
    }
}

/// An AddSuppression or RemoveSuppression; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | reasons: UInt8 (bits 1 << reason) | address: 2 x UInt64 (low, high of its
/// keyed hash) | requestID: prefixed (empty: none) | [formerAddress: 2 x UInt64]`, the part in
/// brackets only if the hash of rules version 1 differs.
package struct SuppressionCommand {
    package var project: ProjectID
    package var reasons: SuppressionReasons
    package var address: AddressHash
    /// Under which a release of rules version 1 suppressed the address; `nil`: `address`.
    package var formerAddress: AddressHash?
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer

    /// - Parameter reason: `nil`: all.
    package init(
        project: ProjectID, reason: SuppressionReason?, address: AddressHash,
        formerAddress: AddressHash? = nil, requestID: UnsafeRawBufferPointer
    ) {
        self.formerAddress = formerAddress
        self.project = project
        self.reasons =
            reason.map { SuppressionReasons($0) } ?? [.hardBounce, .complaint, .invalid, .manual]
        self.address = address
        self.requestID = requestID
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.reasons.rawValue)
        buffer.append(self.address.low)
        buffer.append(self.address.high)
        buffer.appendPrefixed(self.requestID)
        guard let former = self.formerAddress else { return }
        buffer.append(former.low)
        buffer.append(former.high)
    }

    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.reasons = SuppressionReasons(rawValue: reader.read())
        self.address = AddressHash(low: reader.read(), high: reader.read())
        self.requestID = reader.readPrefixed()
        if reader.remaining > 0 {
            self.formerAddress = AddressHash(low: reader.read(), high: reader.read())
        }
        guard reader.isAtCleanEnd, !self.reasons.isEmpty else { return nil }
    }
}
