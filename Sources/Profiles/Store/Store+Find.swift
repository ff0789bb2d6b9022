import Bytes

// From an identifier to the profile that it names. For the applier, which changes the index and so
// needs no lock to read it; loops take `Store.read`.

extension Store {
    /// The profile that an identifier names, merges followed; also for a reader that holds all locks.
    @inline(__always)
    func find(
        _ project: ProjectID, _ identifier: IdentifierView, hash: UInt64
    ) -> (profile: ProfileRef, isAlias: Bool)? {
        guard let profile = self.holder(project, identifier, hash: hash) else { return nil }
        let survivor = self.survivor(of: profile)
        return (survivor, survivor != profile)
    }

    /// As `find`, merges not followed: of a profile id the one that was given it.
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
    func survivor(of profile: ProfileRef) -> ProfileRef {
        var profile = profile
        while true {
            let next = self.pool.header(profile).pointee.mergedInto
            guard next != 0 else { return profile }
            profile = ProfileRef(rawValue: next)
        }
    }

    /// Whether a profile is called so. One that was merged away keeps its own id only.
    @inline(__always)
    func holds(_ header: ProfileHeader, _ project: ProjectID, _ identifier: IdentifierView) -> Bool
    {
        guard header.project == project else { return false }
        guard identifier.kind != .profileID else {
            return identifier.bytes.count == ProfileID.binaryBytes
                && header.id == ProfileID(binary: identifier.bytes)
        }
        return header.isLive && IdentityPart(self.slab.pointer(header.identity)).holds(identifier)
    }
}
