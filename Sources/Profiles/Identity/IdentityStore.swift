import Bytes

// SAFETY: headers of the pool never move. Each is read by the applier, or by a thread that holds
// the lock of its shard; bytes of ids are borrowed for one closure.

/// All profiles of a partition, and the identifiers that name them.
///
/// Lookups here are for the applier, which is the only one to change anything and so reads without
/// a lock, and for a reader that holds all locks. Other readers take `IdentifierIndex.candidate`
/// and then the profile's lock (`Store.read`).
struct IdentityStore {
    let pool = ProfilePool()
    /// The profile that an identifier names.
    let index = IdentifierIndex()
    /// The profiles that have an e-mail address or a phone number.
    let addresses = IdentifierIndex()
    /// Guard headers and what they refer to, by the profile's shard.
    let locks = ShardLocks()
    let slab: Slab
    let hash: KeyedHash

    init(slab: Slab, hash: KeyedHash) {
        self.slab = slab
        self.hash = hash
    }

    func destroy() {
        self.index.destroy()
        self.addresses.destroy()
        self.pool.destroy()
        self.locks.destroy()
    }

    /// The profile that an identifier names, merges followed.
    ///
    /// - Returns: `isAlias` if the identifier is that of a profile that was merged away.
    @inline(__always)
    func find(
        _ project: ProjectID, _ identifier: IdentifierView, hash: UInt64
    ) -> (profile: ProfileRef, isAlias: Bool)? {
        guard let profile = self.holder(project, identifier, hash: hash) else { return nil }
        let survivor = self.survivor(of: profile)
        return (survivor, survivor != profile)
    }

    /// The profile that an identifier names, merges not followed: for a profile id the profile that
    /// was created with it.
    @inline(__always)
    func holder(_ project: ProjectID, _ identifier: IdentifierView, hash: UInt64) -> ProfileRef? {
        let table = self.index.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let value = table.next(tag, from: &position)
            guard value != 0 else { return nil }
            let profile = ProfileRef(rawValue: value)
            if self.holds(self.pool.header(profile).pointee, project, identifier) { return profile }
        }
    }

    /// The profile that a chain of merges ends at.
    ///
    /// - Complexity: O(merges in the chain).
    func survivor(of profile: ProfileRef) -> ProfileRef {
        var profile = profile
        while true {
            let next = self.pool.header(profile).pointee.mergedInto
            guard next != 0 else { return profile }
            profile = ProfileRef(rawValue: next)
        }
    }

    /// Whether an identifier names the profile of a header. A profile that was merged away keeps
    /// its own id, and its custom id unless the survivor took that.
    @inline(__always)
    func holds(_ header: ProfileHeader, _ project: ProjectID, _ identifier: IdentifierView) -> Bool
    {
        guard header.project == project else { return false }
        guard identifier.kind != .profileID else {
            return identifier.bytes.count == ProfileID.binaryBytes
                && header.id == ProfileID(binary: identifier.bytes)
        }
        guard header.identity != 0, header.isLive || identifier.kind == .customID else {
            return false
        }
        return IdentityPart(self.slab.pointer(header.identity)).holds(identifier)
    }

    /// The hash of a profile id in the index.
    func profileIDHash(_ project: ProjectID, _ id: ProfileID) -> UInt64 {
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) {
            self.hash.identifier(project, IdentifierView(kind: .profileID, bytes: $0))
        }
    }
}
