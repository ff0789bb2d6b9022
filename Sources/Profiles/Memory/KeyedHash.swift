import Bytes

// SAFETY: words of ids are borrowed for the closure that hashes them.

/// Every hash that the store takes of what clients choose, each under a key of its own.
struct KeyedHash {
    private let key: SipHashKey
    /// Ones, but in tests that want collisions everywhere.
    private let mask: UInt64

    /// What is hashed; the raw value separates the keys.
    private enum Domain: UInt64 {
        case identifier = 0x6964_656e_7469_6669
        case event = 0x6576_656e_745f_6964
        case request = 0x7265_7175_6573_7473
        case name = 0x6e61_6d65_735f_5f5f
        case fingerprint = 0x6669_6e67_6572_7072
        case address = 0x6164_6472_6573_735f
        case erased = 0x6572_6173_6564_5f5f
        case tombstone = 0x746f_6d62_7374_6f6e
        case forgotten = 0x666f_7267_6f74_7465
        case responseProfile = 0x616e_7377_6572_6564
        case accessKey = 0x6163_6365_7373_6b65
        case exportPage = 0x6578_706f_7274_7067
        case importContent = 0x696d_706f_7274_6564
    }

    init(key: SipHashKey, mask: UInt64) {
        self.key = key
        self.mask = mask
    }

    private func key(_ domain: Domain, _ detail: UInt64) -> SipHashKey {
        SipHashKey(k0: self.key.k0 ^ detail, k1: self.key.k1 ^ domain.rawValue)
    }

    func identifier(_ project: ProjectID, _ identifier: IdentifierView) -> UInt64 {
        let detail = UInt64(project.rawValue) << 8 | UInt64(identifier.kind.rawValue)
        return SipHash.hash64(identifier.bytes, key: self.key(.identifier, detail)) & self.mask
    }

    /// Of (project, identifier as sent, event id): the identifier's hash keys that of the event id,
    /// so that nothing is copied together first.
    func event(identifierHash: UInt64, id: UnsafeRawBufferPointer) -> UInt64 {
        SipHash.hash64(id, key: self.key(.event, identifierHash)) & self.mask
    }

    /// Of (project, method, request id); that of project 1 is the one from before there were
    /// others, since it stands in kept entries.
    func request(_ project: ProjectID, _ kind: RecordKind, _ id: UnsafeRawBufferPointer) -> UInt64 {
        let detail = UInt64(project.rawValue &- 1) << 8 | UInt64(kind.rawValue)
        return SipHash.hash64(id, key: self.key(.request, detail)) & self.mask
    }

    func name(_ name: UnsafeRawBufferPointer) -> UInt64 {
        SipHash.hash64(name, key: self.key(.name, 0)) & self.mask
    }

    /// Of an address as it is compared: an e-mail address in lower case.
    func address(_ project: ProjectID, _ channel: Channel, _ address: UnsafeRawBufferPointer)
        -> AddressHash
    {
        let detail = UInt64(project.rawValue) << 8 | UInt64(channel.rawValue)
        let hash = SipHash.hash128(address, key: self.key(.address, detail))
        return AddressHash(low: hash.low & self.mask, high: hash.high)
    }

    /// Of an identifier where its bytes may not stand: in the record of an erasure, and for as long
    /// as it is blocked.
    func identifierHash(_ project: ProjectID, _ identifier: IdentifierView) -> IdentifierHash {
        let detail = UInt64(project.rawValue) << 8 | UInt64(identifier.kind.rawValue)
        let hash = SipHash.hash128(identifier.bytes, key: self.key(.erased, detail))
        return IdentifierHash(low: hash.low & self.mask, high: hash.high)
    }

    /// Replaces the id of a profile after the erasure of its person.
    func tombstone(_ project: ProjectID, _ id: ProfileID) -> ProfileID {
        let hash = withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) {
            SipHash.hash128($0, key: self.key(.tombstone, UInt64(project.rawValue)))
        }
        return ProfileID(high: hash.high, low: hash.low)
    }

    /// Of a request id whose response was erased: the id may contain an identifier of the person.
    func forgottenRequest(_ kind: UInt8, _ id: UnsafeRawBufferPointer) -> Fingerprint {
        let hash = SipHash.hash128(id, key: self.key(.forgotten, UInt64(kind)))
        return Fingerprint(low: hash.low, high: hash.high)
    }

    /// Of a profile that a kept response names.
    func responseProfile(_ id: ProfileID) -> UInt64 {
        withUnsafeBytes(of: (id.high, id.low)) {
            SipHash.hash64($0, key: self.key(.responseProfile, 0))
        }
            & self.mask
    }

    /// Of the name of a key.
    func accessKey(_ name: KeyName) -> UInt64 {
        name.withText { SipHash.hash64($0, key: self.key(.accessKey, 0)) } & self.mask
    }

    /// Of the content of a page token of an export.
    func exportPage(_ content: UnsafeRawBufferPointer) -> Fingerprint {
        let hash = SipHash.hash128(content, key: self.key(.exportPage, 0))
        return Fingerprint(low: hash.low, high: hash.high)
    }

    /// Keys the hash of a chunk's first operation.
    var importContent: SipHashKey { self.key(.importContent, 0) }

    /// Of a message without its request id: the part before keys the hash of the part after.
    func fingerprint(
        _ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer
    ) -> Fingerprint {
        let first = SipHash.hash128(before, key: self.key(.fingerprint, 0))
        let both = SipHash.hash128(after, key: SipHashKey(k0: first.low, k1: first.high))
        return Fingerprint(low: both.low, high: both.high)
    }
}

/// 128 bits that stand for a whole message.
package struct Fingerprint: Equatable, Sendable, BitwiseCopyable {
    package var low: UInt64
    package var high: UInt64

    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// Ids that the store makes: derived, so that a replay makes the same ones.
struct DerivedIDs {
    private let secret: SipHashKey

    private enum Domain: UInt64 {
        case profile = 1
        case event = 2
        case merge = 3
        case key = 4
        case trigger = 5
        case importedEvent = 6
        case provenMerge = 7
    }

    init(secret: SipHashKey) {
        self.secret = secret
    }

    /// The id of the profile that the operation `lsn` made.
    func profile(receivedAt: Int64, lsn: UInt64) -> ProfileID {
        self.ulid(.profile, receivedAt: receivedAt, lsn: lsn)
    }

    /// The id of an event that came without one.
    func event(receivedAt: Int64, lsn: UInt64) -> ProfileID {
        self.ulid(.event, receivedAt: receivedAt, lsn: lsn)
    }

    /// The id of the merge that the operation `lsn` made, by rules before version 3.
    func merge(receivedAt: Int64, lsn: UInt64) -> ProfileID {
        self.ulid(.merge, receivedAt: receivedAt, lsn: lsn)
    }

    /// The id of the merge that the operation `lsn` made.
    ///
    /// It proves itself: 48 bits of milliseconds, 16 bits of the lsn, 40 bits of a keyed hash of
    /// the project and all the others, 24 further bits of the lsn. So an id that was given once is
    /// told from one that never was, long after nothing is kept of the merge.
    func merge(of project: ProjectID, receivedAt: Int64, lsn: UInt64) -> ProfileID {
        let high = Self.mergeIDHigh(receivedAt: receivedAt, lsn: lsn)
        return self.mergeID(of: project, high: high, lsnBits: lsn >> 16 & Self.lsnBitsMask)
    }

    /// Whether an id is that of a merge in this project, whether it can be undone or not.
    func isMerge(_ id: ProfileID, of project: ProjectID) -> Bool {
        self.mergeID(of: project, high: id.high, lsnBits: id.low & Self.lsnBitsMask) == id
    }

    private static let lsnBitsMask: UInt64 = 1 << 24 - 1

    private func mergeID(of project: ProjectID, high: UInt64, lsnBits: UInt64) -> ProfileID {
        let key = SipHashKey(
            k0: self.secret.k0, k1: self.secret.k1 ^ Domain.provenMerge.rawValue)
        let words = (UInt64(project.rawValue).littleEndian, high.littleEndian, lsnBits.littleEndian)
        let hash = withUnsafeBytes(of: words) { SipHash.hash64($0, key: key) }
        return ProfileID(high: high, low: hash & ~Self.lsnBitsMask | lsnBits)
    }

    /// The upper half of the id of a merge.
    static func mergeIDHigh(receivedAt: Int64, lsn: UInt64) -> UInt64 {
        let milliseconds = UInt64(bitPattern: receivedAt / 1_000) & 0xFFFF_FFFF_FFFF
        return milliseconds << 16 | lsn & 0xFFFF
    }

    /// The id of the trigger that the operation `lsn` made.
    func trigger(receivedAt: Int64, lsn: UInt64) -> ProfileID {
        self.ulid(.trigger, receivedAt: receivedAt, lsn: lsn)
    }

    /// Keys the ids of the events of a chunk that came without one.
    func importedEvents(chunkID: UnsafeRawBufferPointer) -> SipHashKey {
        let hash = SipHash.hash128(
            chunkID,
            key: SipHashKey(
                k0: self.secret.k0, k1: self.secret.k1 ^ Domain.importedEvent.rawValue))
        return SipHashKey(k0: hash.low, k1: hash.high)
    }

    /// The name of the key that the operation `lsn` made.
    ///
    /// - Parameter attempt: 0, and one more for each name that was taken.
    func keyName(receivedAt: Int64, lsn: UInt64, attempt: UInt64) -> KeyName {
        let key = SipHashKey(
            k0: self.secret.k0 ^ attempt, k1: self.secret.k1 ^ Domain.key.rawValue)
        let hash = withUnsafeBytes(of: (receivedAt.littleEndian, lsn.littleEndian)) {
            SipHash.hash128($0, key: key)
        }
        return KeyName(bits: (hash.high, hash.low))
    }

    /// 48 bits of milliseconds, 16 bits of the lsn (so that ids of one millisecond ascend but for a
    /// wrap), 64 secret bits.
    private func ulid(_ domain: Domain, receivedAt: Int64, lsn: UInt64) -> ProfileID {
        let milliseconds = UInt64(bitPattern: receivedAt / 1_000) & 0xFFFF_FFFF_FFFF
        let low = withUnsafeBytes(of: (receivedAt.littleEndian, lsn.littleEndian)) {
            SipHash.hash128(
                $0, key: SipHashKey(k0: self.secret.k0, k1: self.secret.k1 ^ domain.rawValue)
            ).low
        }
        return ProfileID(high: milliseconds << 16 | lsn & 0xFFFF, low: low)
    }
}
