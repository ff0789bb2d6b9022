import Bytes
import Profiles

/// Who has each identifier, and whom each profile behind it is merged into: as it is today, until
/// changes of identities are undone.
///
/// A chain of merges is made of single links, because an un-merge takes the beginning of a chain
/// out of it: what it leaves behind says nothing of the way that led through it.
struct IdentifierLinks {
    /// What is undone of one change.
    struct Step {
        fileprivate enum Kind {
            /// `other` was merged into `profile`.
            case merged
            /// `other` led to `profile` until then.
            case led
            /// The identifier began to name `profile`; `other` had it before.
            case named(index: Int)
            /// `profile` was made with the identifier.
            case created(index: Int)
        }

        var lsn: UInt64
        fileprivate var kind: Kind
        fileprivate var profile: ProfileID
        fileprivate var other: ProfileID?
    }

    private let identifiers: [OwnedIdentifier]
    private var holders: [ProfileID?]
    private var survivors: [ProfileID: ProfileID] = [:]
    /// The profiles whose links are known: those that identifiers go through today, or went through
    /// before a change that was read.
    private(set) var passed: Set<ProfileID>

    /// - Parameters:
    ///   - passed: Of an earlier reading of the same history.
    ///   - lookUp: The profile that an identifier names and, if it was merged away, the next one;
    ///     none if it is unknown.
    /// - Complexity: O(identifiers + profiles in their chains + passed) look-ups.
    init(
        _ identifiers: [OwnedIdentifier], passed: Set<ProfileID> = [],
        lookUp: (OwnedIdentifier) -> [ProfileID]
    ) {
        self.identifiers = identifiers
        // A profile that nobody knows may be one that is erased behind the first position.
        self.holders = identifiers.map { lookUp($0).first ?? $0.profileID }
        self.passed = passed
        for (identifier, holder) in zip(identifiers, self.holders) where identifier.followsMerges {
            if let holder { self.passed.insert(holder) }
        }
        var open = Array(self.passed)
        while let profile = open.popLast() {
            let link = lookUp(OwnedIdentifier(profile))
            guard link.count > 1 else { continue }
            self.survivors[profile] = link[1]
            if self.passed.insert(link[1]).inserted { open.append(link[1]) }
        }
    }

    /// What of a change has to be undone to know the time before it; nothing for most.
    ///
    /// `passed` grows with profiles that identifiers went through before the change: the steps are
    /// complete once a reading of the whole history, from links of its own, leaves it as it is.
    ///
    /// - Complexity: O(identifiers), or O(profiles that the change names).
    mutating func steps(of change: ChangeView) -> [Step] {
        var steps: [Step] = []
        func add(_ kind: Step.Kind, _ profile: ProfileID, _ other: ProfileID?) {
            steps.append(Step(lsn: change.lsn, kind: kind, profile: profile, other: other))
        }
        switch change.kind {
        case .merged:
            guard let other = change.otherID, self.passed.contains(other) else { break }
            add(.merged, change.profileID, other)
            self.passed.insert(change.profileID)
        case .unmerged:
            guard var profile = change.otherID, self.passed.contains(profile) else { break }
            change.forEachIDBetween {
                add(.led, $0, profile)
                self.passed.insert($0)
                profile = $0
            }
            add(.led, change.profileID, profile)
            self.passed.insert(change.profileID)
        case .created:
            for (index, identifier) in self.identifiers.enumerated()
            where identifier.isNamed(by: change) {
                add(.created(index: index), change.profileID, nil)
            }
        case .identified, .installationMoved:
            for (index, identifier) in self.identifiers.enumerated()
            where identifier.isNamed(by: change) {
                var former = change.otherID
                change.forEachIDBetween { former = $0 }
                add(.named(index: index), change.profileID, former)
                if identifier.followsMerges, let former { self.passed.insert(former) }
            }
        case .erased:
            for (loser, survivor) in self.links(erasedBy: change) {
                add(.led, survivor, loser)
                self.passed.insert(survivor)
            }
        case .attributesChanged, .eventStored, .subscriptionChanged, .suppressionChanged: break
        }
        return steps
    }

    /// The merges on the way from known profiles to an erased one.
    private func links(
        erasedBy change: ChangeView
    ) -> [(loser: ProfileID, survivor: ProfileID)] {
        var known: [ProfileID] = []
        change.forEachErasedID { if self.passed.contains($0) { known.append($0) } }
        guard !known.isEmpty else { return [] }
        var survivors: [ProfileID: ProfileID] = [:]
        change.forEachErasedLink { survivors[$0] = $1 }
        var links: [(loser: ProfileID, survivor: ProfileID)] = []
        for profile in known {
            var loser = profile
            while let survivor = survivors.removeValue(forKey: loser) {
                links.append((loser, survivor))
                loser = survivor
            }
        }
        return links
    }

    /// Takes a step back; the newest first.
    mutating func undo(_ step: Step) {
        switch step.kind {
        case .merged:
            if let other = step.other { self.survivors[other] = nil }
        case .led:
            if let other = step.other { self.survivors[other] = step.profile }
        case .named(let index): self.holders[index] = step.other
        case .created(let index):
            // A profile that an installation moves to may be made for it, and with it. The move,
            // which comes behind and is undone by now, says who had it.
            if self.holders[index] == step.profile { self.holders[index] = nil }
        }
    }

    /// The profile that has an identifier and each one that the one before was merged into, by the
    /// index of the identifier.
    var chains: [[ProfileID]] {
        zip(self.identifiers, self.holders).map { identifier, holder in
            guard var profile = holder else { return [] }
            var chain = [profile]
            guard identifier.followsMerges else { return chain }
            // No chain is longer than there are links.
            while let next = self.survivors[profile], chain.count <= self.survivors.count {
                chain.append(next)
                profile = next
            }
            return chain
        }
    }
}

extension OwnedIdentifier {
    fileprivate init(_ profileID: ProfileID) {
        let id = (profileID.high.bigEndian, profileID.low.bigEndian)
        // SAFETY: the bytes are copied during the closure.
        self = withUnsafeBytes(of: id) {
            OwnedIdentifier(IdentifierView(kind: .profileID, bytes: $0))
        }
    }

    /// The profile that it is the id of; `nil`: it is no profile id.
    fileprivate var profileID: ProfileID? {
        guard self.kind == .profileID else { return nil }
        // SAFETY: the bytes are read during the closure; the id is a value.
        return self.bytes.withUnsafeBytes { ProfileID(binary: $0) }
    }

    /// Whether it leads to the survivor of its profile; an installation moves by a change of its
    /// own.
    var followsMerges: Bool { self.kind != .installationID }

    /// Whether a change makes the identifier name its profile.
    func isNamed(by change: ChangeView) -> Bool {
        self.bytes.withUnsafeBytes { bytes in
            switch self.kind {
            case .customID:
                change.kind != .installationMoved && change.customID.count > 0
                    && change.customID.elementsEqual(bytes)
            case .installationID: change.installationID?.elementsEqual(bytes) ?? false
            case .profileID: change.kind == .created && ProfileID(binary: bytes) == change.profileID
            }
        }
    }
}
