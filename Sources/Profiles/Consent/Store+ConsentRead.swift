import Bytes

// What loops read of consent: verdicts and tokens. Nothing here waits for the log.

extension Store {
    // MARK: CheckSendable

    /// Whether a message may be sent to the profile of an image.
    ///
    /// - Parameter topic: In lower case; empty: none.
    package func checkSendable(
        _ image: ProfileImage, project: ProjectID, channel: Channel, topic: UnsafeRawBufferPointer,
        messageClass: MessageClass
    ) -> (isSendable: Bool, reason: SendableReason) {
        var check = SendableCheck()
        check.messageClass = messageClass
        check.isTopicUnsubscribedByDefault = self.isTopicUnsubscribedByDefault(in: project)
        if topic.count > 0 { check.topicState = .unset }
        image.forEachInstallation { platform in
            switch Platform(rawValue: platform) {
            case .appIOS, .appAndroid, .web: check.hasAddress = check.hasAddress || channel == .push
            case .unspecified, .api, .imported, nil: break
            }
        }
        if let address = image.address(channel) {
            check.hasAddress = true
            check.reasons = self.suppressionReasons(project, channel, address)
        }
        image.forEachSubscription { subscription in
            guard subscription.channel == channel else { return }
            if subscription.topic.count == 0 { check.channelState = subscription.state }
            if topic.count > 0, subscription.topic.equals(topic) {
                check.topicState = subscription.state
            }
        }
        return check.verdict
    }

    /// What an address is suppressed for, also by a release that compared addresses otherwise.
    func suppressionReasons(
        _ project: ProjectID, _ channel: Channel, _ address: UnsafeRawBufferPointer
    ) -> SuppressionReasons {
        // The former hash first: a command moves its reasons to the other one, and a reader must
        // not miss them in between.
        let former =
            self.formerAddressHash(project, channel, address).map {
                self.suppressions.reasons(project, $0)
            } ?? []
        return former.union(
            self.suppressions.reasons(project, self.addressHash(project, channel, address)))
    }

    /// The keyed hash of an address as it is compared (`AddressKey`).
    package func addressHash(
        _ project: ProjectID, _ channel: Channel, _ address: UnsafeRawBufferPointer
    ) -> AddressHash {
        AddressKey.with(channel, address) { self.hash.address(project, channel, $0) }
    }

    /// The hash that rules version 1 gave an address; `nil`: no other than `addressHash`.
    package func formerAddressHash(
        _ project: ProjectID, _ channel: Channel, _ address: UnsafeRawBufferPointer
    ) -> AddressHash? {
        guard channel == .email, !AddressKey.isASCII(address) else { return nil }
        let former = AddressKey.withFormer(channel, address) {
            self.hash.address(project, channel, $0)
        }
        return former == self.addressHash(project, channel, address) ? nil : former
    }

    // MARK: Tokens

    /// Appends the text of a token.
    package func appendText(of token: ConsentToken, to buffer: inout ByteBuffer) {
        var content = ByteBuffer(capacity: 128)
        token.write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// Appends the text of a page token.
    package func appendText(of position: HistoryPosition, to buffer: inout ByteBuffer) {
        var content = ByteBuffer(capacity: 64)
        position.write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// Reads a page token; `nil` if it is not one of this project that this directory made.
    package func verifyPage(_ text: UnsafeRawBufferPointer, in project: ProjectID)
        -> HistoryPosition?
    {
        var content = ByteBuffer(capacity: 64)
        guard let bytes = self.tokens.verify(text, into: &content),
            let position = HistoryPosition(content: bytes),
            position.project == project
        else { return nil }
        return position
    }

    /// Reads a token; `nil` if it is not one of this kind and project that this directory made.
    ///
    /// - Parameter content: Gets the bytes that the token's topic is borrowed from.
    package func verify(
        _ text: UnsafeRawBufferPointer, _ kind: ConsentToken.Kind, in project: ProjectID,
        into content: inout ByteBuffer
    ) -> ConsentToken? {
        content.removeAll()
        guard let bytes = self.tokens.verify(text, into: &content),
            let token = ConsentToken(content: bytes),
            token.kind == kind, token.project == project
        else { return nil }
        return token
    }
}

/// One subscription as images and results list it, borrowed.
package struct SubscriptionView {
    package var channel: Channel
    /// Empty: the whole channel.
    package var topic: UnsafeRawBufferPointer
    package var state: SubscriptionState
    package var source: ConsentSource
    /// Microseconds since 1970.
    package var effectiveTime: Int64

    /// Reads a list, its count first.
    package static func forEach(in lists: inout ByteReader, _ body: (SubscriptionView) -> Void) {
        for _ in 0 ..< lists.readVarint() {
            let channel = Channel(rawValue: lists.read())
            let topic = lists.readPrefixed()
            let state = SubscriptionState(rawValue: lists.read())
            let source = ConsentSource(rawValue: lists.read())
            let effectiveTime = lists.read(Int64.self)
            guard let channel, let state, let source, !lists.overrun else { return }
            body(
                SubscriptionView(
                    channel: channel, topic: topic, state: state, source: source,
                    effectiveTime: effectiveTime))
        }
    }
}

extension ProfileImage {
    /// The address on a channel, borrowed; `nil`: none, or a channel that has none.
    func address(_ channel: Channel) -> UnsafeRawBufferPointer? {
        let name: StaticString
        switch channel {
        case .email: name = NativeAttribute.emailAddress.name
        case .sms: name = NativeAttribute.phoneNumber.name
        case .push: return nil
        }
        var found: UnsafeRawBufferPointer?
        var lists = self.lists
        Self.skipToAttributes(&lists)
        Self.forEachAttribute(&lists) { attribute, value in
            guard
                attribute.equals(
                    UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            else { return }
            var reader = ByteReader(value)
            guard PackedTag(rawValue: reader.read()) == .string else { return }
            found = reader.readPrefixed()
        }
        return found
    }

    /// The platform of every installation.
    func forEachInstallation(_ body: (_ platform: UInt8) -> Void) {
        var lists = self.lists
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            body(lists.read())
            _ = lists.read(count: 16)
        }
    }

    /// Every merged-away profile id.
    package func forEachProfileAlias(_ body: (ProfileID) -> Void) {
        var lists = self.lists
        Self.skipInstallations(&lists)
        for _ in 0 ..< lists.readVarint() {
            let kind = lists.read(UInt8.self)
            let bytes = lists.readPrefixed()
            if kind == IdentifierKind.profileID.rawValue, bytes.count == ProfileID.binaryBytes {
                body(ProfileID(binary: bytes))
            }
        }
    }

    /// Every subscription, ascending by (channel, topic).
    package func forEachSubscription(_ body: (SubscriptionView) -> Void) {
        var lists = self.lists
        Self.skipToAttributes(&lists)
        Self.forEachAttribute(&lists) { _, _ in }
        SubscriptionView.forEach(in: &lists, body)
    }

    private static func skipInstallations(_ lists: inout ByteReader) {
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            _ = lists.read(count: 17)
        }
    }

    private static func skipToAttributes(_ lists: inout ByteReader) {
        Self.skipInstallations(&lists)
        for _ in 0 ..< lists.readVarint() {
            _ = lists.read(UInt8.self)
            _ = lists.readPrefixed()
        }
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            _ = lists.read(count: 24)
        }
    }

    private static func forEachAttribute(
        _ lists: inout ByteReader,
        _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        for _ in 0 ..< lists.readVarint() {
            let name = lists.readPrefixed()
            let start = lists
            guard PackedValue.skip(&lists, depth: 1) else { return }
            var value = start
            body(name, value.read(count: lists.offset - start.offset))
            _ = lists.read(count: 17)
            _ = lists.readPrefixed()
        }
    }
}
