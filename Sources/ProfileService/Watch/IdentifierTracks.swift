import Bytes
import Profiles

/// Whom the identifiers of a watcher lead to at its position: the filter of a Watch is evaluated at
/// the lsn of each change, not today.
///
/// They begin with the state of today and undo the changes of identities between
/// the watcher's first position and today; from there on they follow the changes.
struct IdentifierTracks {
    /// One identifier.
    fileprivate struct Track {
        var identifier: OwnedIdentifier
        /// Who was named first, and each profile that the one before was merged into.
        var chain: [ProfileID]
        var target: ProfileID?
    }

    /// A change of identities that concerns a track.
    struct Step {
        fileprivate enum Kind {
            /// The profile absorbed the other one.
            case merged
            /// The profile gave the other one back.
            case unmerged
            /// The identifier of a track began to name the profile.
            case named(track: Int)
            /// The installation of a track moved to the profile.
            case moved(track: Int)
        }

        var lsn: UInt64
        fileprivate var kind: Kind
        fileprivate var profileID: ProfileID
        fileprivate var otherID: ProfileID?
    }

    private var tracks: [Track]
    /// The profiles that the tracks go through, today or by a merge that was undone since.
    private(set) var passed: Set<ProfileID>

    /// - Parameters:
    ///   - chains: Of today (`Store.chain`), one per identifier.
    ///   - passed: Of an earlier reading of the same history.
    init(
        _ identifiers: [OwnedIdentifier], chains: [[ProfileID]], passed: Set<ProfileID> = []
    ) {
        self.tracks = zip(identifiers, chains).map { identifier, chain in
            // A profile that nobody knows may be one that is erased behind the first position.
            let own = chain.isEmpty ? identifier.profileID.map { [$0] } ?? [] : chain
            return Track(identifier: identifier, chain: own, target: own.last)
        }
        self.passed = passed.union(self.tracks.flatMap(\.chain))
    }

    /// The profiles that are led to.
    var targets: [ProfileID] { self.tracks.compactMap(\.target) }

    // MARK: History

    /// What of a change has to be undone to know the time before it; nothing for most.
    ///
    /// If a merge was undone, `passed` grows: the steps are complete once a reading of the whole
    /// history leaves it as it is.
    mutating func steps(of change: ChangeView) -> [Step] {
        var steps: [Step] = []
        func add(_ kind: Step.Kind) {
            steps.append(
                Step(
                    lsn: change.lsn, kind: kind, profileID: change.profileID,
                    otherID: change.otherID))
        }
        switch change.kind {
        case .merged, .unmerged:
            guard let other = change.otherID, self.passed.contains(other) else { break }
            add(change.kind == .merged ? .merged : .unmerged)
            if change.kind == .unmerged { self.passed.insert(change.profileID) }
        case .created, .identified, .installationMoved:
            for (index, track) in self.tracks.enumerated() where track.isNamed(by: change) {
                add(change.kind == .installationMoved ? .moved(track: index) : .named(track: index))
            }
        default: break
        }
        return steps
    }

    /// Takes a step back; the newest first.
    mutating func undo(_ step: Step) {
        switch step.kind {
        case .merged:
            for index in self.tracks.indices where self.tracks[index].target == step.profileID {
                self.tracks[index].leaveSurvivor(step.otherID)
            }
        case .unmerged:
            for index in self.tracks.indices where self.tracks[index].target == step.otherID {
                self.tracks[index].enterSurvivor(step.profileID)
            }
        case .named(let index):
            // A custom id that came with a merge was another profile's before.
            guard self.tracks[index].target == step.profileID else { break }
            self.tracks[index].target = step.otherID
        case .moved(let index):
            self.tracks[index].target = step.otherID
        }
    }

    // MARK: Following

    /// Follows a change, and returns whether one of the identifiers leads to its profile or its
    /// other profile, before it or after.
    ///
    /// - Complexity: O(identifiers).
    mutating func follow(_ change: ChangeView) -> Bool {
        let (profile, other) = (change.profileID, change.otherID)
        var isMatch = self.leads(to: profile, or: other)
        switch change.kind {
        case .created, .identified, .installationMoved:
            for index in self.tracks.indices where self.tracks[index].isNamed(by: change) {
                self.tracks[index].chain = [profile]
                self.tracks[index].target = profile
                isMatch = true
            }
        case .merged:
            for index in self.tracks.indices where self.tracks[index].target == other {
                self.tracks[index].chain.append(profile)
                self.tracks[index].target = profile
            }
        case .unmerged:
            for index in self.tracks.indices where self.tracks[index].target == profile {
                self.tracks[index].leaveSurvivor(other)
            }
            isMatch = isMatch || self.leads(to: profile, or: other)
        case .erased:
            // Profiles that were merged into it before the first position lead to it as well.
            change.forEachErasedID { isMatch = isMatch || self.leads(to: $0, or: nil) }
            for index in self.tracks.indices where self.tracks[index].target == profile {
                self.tracks[index].target = nil
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

extension OwnedIdentifier {
    /// The profile that it is the id of; `nil`: it is no profile id.
    fileprivate var profileID: ProfileID? {
        guard self.kind == .profileID else { return nil }
        // SAFETY: the bytes are read during the closure; the id is a value.
        return self.bytes.withUnsafeBytes { ProfileID(binary: $0) }
    }
}

extension IdentifierTracks.Track {
    /// Whether a change makes the identifier name its profile.
    fileprivate func isNamed(by change: ChangeView) -> Bool {
        self.identifier.bytes.withUnsafeBytes { bytes in
            switch self.identifier.kind {
            case .customID:
                change.kind != .installationMoved && change.customID.count > 0
                    && change.customID.elementsEqual(bytes)
            case .installationID: change.installationID?.elementsEqual(bytes) ?? false
            case .profileID: change.kind == .created && ProfileID(binary: bytes) == change.profileID
            }
        }
    }

    /// Leads to the profile that was merged into the present one, if it is on the way to it.
    fileprivate mutating func leaveSurvivor(_ loser: ProfileID?) {
        guard self.identifier.kind != .installationID, let loser,
            let position = self.chain.firstIndex(of: loser)
        else { return }
        self.target = loser
        self.chain.removeSubrange((position + 1)...)
    }

    /// Leads to the profile that it was merged into; an installation moves by a change of its own.
    fileprivate mutating func enterSurvivor(_ survivor: ProfileID) {
        guard self.identifier.kind != .installationID else { return }
        self.target = survivor
        self.chain.append(survivor)
    }
}
