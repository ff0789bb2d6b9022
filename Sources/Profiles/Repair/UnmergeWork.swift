import Bytes

// What an un-merge works on: the merge, and everything that was merged since into the profile that
// has the loser now. Its state after each of these merges is kept, so the loser can be taken out of
// all of them, and they can be undone later in any order.

/// An un-merge that was accepted.
struct UnmergeWork {
    /// Merges since, into the profiles that the loser came to, that one un-merge goes through: each
    /// costs a pass over the state that is kept of it.
    static let laterMergesMax = 1_000

    /// How a stretch of time of a profile that had the loser ended.
    enum StageEnd {
        /// It absorbed another profile, by this merge; what it was before is in the entry.
        case absorbs(Handle)
        /// It was merged away itself, by this merge; what it was is at its header.
        case isAbsorbed(Handle)
        /// It is the living one.
        case present
    }

    var call: CallContext
    /// The merge that is undone.
    var block: Handle
    var merge: MergeEntry
    /// The living profile that has what the loser had.
    var survivor: ProfileRef
    /// In the order of time; the last one is `present`.
    var stages: [StageEnd]
    /// What the two profiles will have.
    var restored: ProfileHeader
    var header: ProfileHeader
    /// Headers of the profiles in between, which were merged away since.
    var between: [(profile: ProfileRef, header: ProfileHeader)] = []
    /// Events that go to the restored profile, by time, and those that stay.
    var taken: [Handle] = []
    var left: [Handle] = []
    /// The lsns of events that came with profiles that were absorbed since, or that the survivor of
    /// a later merge had: they stay, whatever their identifiers are now.
    var foreign: Set<UInt64> = []
    /// What the loser counted since, of events that are retained or dropped.
    var since: [CounterEntry] = []
    var warnings: [(reason: WarningReason, text: UnsafeRawBufferPointer)] = []

    /// The profile that is restored.
    var loser: ProfileRef { self.merge.loser }

    /// Changes the header of a profile in between.
    mutating func change(_ profile: ProfileRef, _ body: (inout ProfileHeader) -> Void) {
        for index in self.between.indices where self.between[index].profile == profile {
            body(&self.between[index].header)
        }
    }

    /// The header of a profile in between.
    func header(between profile: ProfileRef) -> ProfileHeader? {
        self.between.first { $0.profile == profile }?.header
    }
}
