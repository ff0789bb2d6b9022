import Profiles

/// Whom the identifiers of a watcher lead to at its position: the filter of a Watch is evaluated at
/// the lsn of each change, not today.
///
/// They begin at the watcher's first position (`IdentifierHistory`) and follow the changes from
/// there on.
struct IdentifierTracks {
    /// One identifier.
    private struct Track {
        var identifier: OwnedIdentifier
        /// Who has it, and each profile that the one before was merged into.
        var chain: [ProfileID]

        var target: ProfileID? { self.chain.last }

        /// Leads to the profile that was merged into another one, if it goes through it.
        mutating func leaveSurvivor(of loser: ProfileID?) {
            guard self.identifier.followsMerges, let loser,
                let position = self.chain.firstIndex(of: loser)
            else { return }
            self.chain.removeSubrange((position + 1)...)
        }
    }

    private var tracks: [Track]

    /// - Parameter chains: One per identifier (`IdentifierLinks.chains`).
    init(_ identifiers: [OwnedIdentifier], chains: [[ProfileID]]) {
        self.tracks = zip(identifiers, chains).map { Track(identifier: $0, chain: $1) }
    }

    /// The profiles that are led to.
    var targets: [ProfileID] { self.tracks.compactMap(\.target) }

    /// Follows a change, and returns whether one of the identifiers leads to its profile or its
    /// other profile, before it or after.
    ///
    /// - Complexity: O(identifiers).
    mutating func follow(_ change: ChangeView) -> Bool {
        let (profile, other) = (change.profileID, change.otherID)
        var isMatch = self.leads(to: profile, or: other)
        switch change.kind {
        case .created, .identified, .installationMoved:
            for index in self.tracks.indices where self.tracks[index].identifier.isNamed(by: change)
            {
                self.tracks[index].chain = [profile]
                isMatch = true
            }
        case .merged:
            guard let other else { break }
            for index in self.tracks.indices where self.tracks[index].target == other {
                self.tracks[index].chain.append(profile)
            }
        case .unmerged:
            for index in self.tracks.indices where self.tracks[index].target == profile {
                self.tracks[index].leaveSurvivor(of: other)
            }
            isMatch = isMatch || self.leads(to: profile, or: other)
        case .erased:
            // Profiles that were merged into it before the first position lead to it as well.
            change.forEachErasedID { isMatch = isMatch || self.leads(to: $0, or: nil) }
            for index in self.tracks.indices where self.tracks[index].target == profile {
                self.tracks[index].chain = []
            }
        case .attributesChanged, .eventStored, .subscriptionChanged, .suppressionChanged: break
        }
        return isMatch
    }

    private func leads(to profile: ProfileID, or other: ProfileID?) -> Bool {
        self.tracks.contains { track in
            guard let target = track.target else { return false }
            return target == profile || target == other
        }
    }
}
