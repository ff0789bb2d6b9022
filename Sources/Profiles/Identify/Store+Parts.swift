import Bytes

// Which part of a profile an identifier belongs to. After merges a profile consists of its own part
// and of those of the profiles that were merged into it, and every identifier belongs to one: that
// is how an un-merge tells what came through whom.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them.

extension Store {
    /// The part that a custom id belongs to, which leads to `profile`; `nil`: its own.
    func part(ofCustom subject: CommandHead.Subject?, of profile: ProfileRef) -> ProfileRef? {
        guard let subject,
            let holder = self.identities.holder(
                self.project.id, subject.identifier, hash: subject.hash)
        else { return nil }
        let identity = IdentityPart(self.slab.pointer(self.pool.header(holder).pointee.identity))
        if identity.customPart != 0 { return ProfileRef(rawValue: identity.customPart) }
        return holder == profile ? nil : holder
    }

    /// The origin of what an Identify writes to its target (`AttributeStamp.origin`).
    ///
    /// The person decides, if the call names one: a device may be in anybody's hands.
    func origin(of step: IdentifyStep, _ work: IdentifyWork) -> UInt64 {
        guard work.call.rules.keepsMergeUndo else {
            return work.hasInstallation ? work.installationHash : 0
        }
        if work.hasCustomID { return UInt64(work.personPart?.rawValue ?? 0) }
        guard case .patch(let target) = step, let holder = work.holder,
            let installation = IdentityPart(
                self.slab.pointer(self.pool.header(holder).pointee.identity)
            ).installation(work.header.installationID)
        else { return 0 }
        // Who had the device then may have been merged away since.
        if let then = installation.holder(at: work.effectiveTime), then != target,
            self.identities.survivor(of: then) == target
        {
            return UInt64(then.rawValue)
        }
        return target == holder ? UInt64(installation.part) : 0
    }

    /// Whether a part, as a `ProfileRef`, is that of a profile or of one that was merged into it.
    ///
    /// - Complexity: O(merges in the chain).
    func isPart(_ part: UInt32, of profile: ProfileRef) -> Bool {
        var next = part
        while next != 0 {
            if next == profile.rawValue { return true }
            next = self.pool.header(ProfileRef(rawValue: next)).pointee.mergedInto
        }
        return false
    }
}
