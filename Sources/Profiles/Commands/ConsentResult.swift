import Bytes

/// The body of an UpdateSubscription or ConfirmSubscription that was carried out; a rejected one
/// has a zero byte.
///
/// Layout:
/// `profileID: 16 bytes | revision: UInt64 | redirectedFrom: kind UInt8 (0: none), prefixed |
/// changeCount: UInt8`, then per change `channel, state: UInt8 | applied: UInt8 | topic: prefixed |
/// token: prefixed (empty: none) | previousHash, hash: 32 bytes | E:
/// prefixed`, then the list of subscriptions as in `ProfileImage`. A confirmation that changed
/// nothing has no change.
package struct SubscriptionResultBody {
    package var profileID: ProfileID
    package var revision: UInt64
    /// `nil`: reached directly.
    package var redirectedFrom: IdentifierView?
    package var changeCount: Int

    package init(
        profileID: ProfileID, revision: UInt64, redirectedFrom: IdentifierView?, changeCount: Int
    ) {
        self.profileID = profileID
        self.revision = revision
        self.redirectedFrom = redirectedFrom
        self.changeCount = changeCount
    }

    /// Appends the fixed part; the changes and the list follow.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.revision)
        buffer.append(self.redirectedFrom?.kind.rawValue ?? 0)
        buffer.appendPrefixed(self.redirectedFrom?.bytes ?? .none)
        buffer.append(UInt8(self.changeCount))
    }

    /// Reads the fixed part; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let id = reader.read(count: ProfileID.binaryBytes)
        self.revision = reader.read()
        let kind = reader.read(UInt8.self)
        let from = reader.readPrefixed()
        self.changeCount = Int(reader.read(UInt8.self))
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.redirectedFrom = IdentifierKind(rawValue: kind).map {
            IdentifierView(kind: $0, bytes: from)
        }
    }
}

/// One change of a `SubscriptionResultBody`, borrowed.
package struct SubscriptionResultView {
    package var channel: Channel
    package var topic: UnsafeRawBufferPointer
    /// After the change.
    package var state: SubscriptionState
    package var applied: Bool
    /// Empty: none.
    package var token: UnsafeRawBufferPointer
    /// Of the entry in the ledger.
    package var previousHash: SHA256Digest
    package var hash: SHA256Digest
    /// The entry without its hashes, as protobuf.
    package var entry: UnsafeRawBufferPointer

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.channel.rawValue)
        buffer.append(self.state.rawValue)
        buffer.append(self.applied ? UInt8(1) : 0)
        buffer.appendPrefixed(self.topic)
        buffer.appendPrefixed(self.token)
        self.previousHash.write(into: &buffer)
        self.hash.write(into: &buffer)
        buffer.appendPrefixed(self.entry)
    }

    package init(
        channel: Channel, topic: UnsafeRawBufferPointer, state: SubscriptionState, applied: Bool,
        token: UnsafeRawBufferPointer, previousHash: SHA256Digest, hash: SHA256Digest,
        entry: UnsafeRawBufferPointer
    ) {
        self.channel = channel
        self.topic = topic
        self.state = state
        self.applied = applied
        self.token = token
        self.previousHash = previousHash
        self.hash = hash
        self.entry = entry
    }

    /// Reads the next one; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        guard let channel = Channel(rawValue: reader.read()),
            let state = SubscriptionState(rawValue: reader.read())
        else { return nil }
        self.channel = channel
        self.state = state
        self.applied = reader.read(UInt8.self) != 0
        self.topic = reader.readPrefixed()
        self.token = reader.readPrefixed()
        self.previousHash = SHA256Digest(from: &reader)
        self.hash = SHA256Digest(from: &reader)
        self.entry = reader.readPrefixed()
        guard !reader.overrun else { return nil }
    }
}
