import IOSimulation
import Profiles

@testable import ProfileService

/// Who has each identifier, kept as plainly as can be, with the records of every change.
struct IdentityModel {
    private enum Life: Equatable {
        case unborn
        case alive
        case merged(into: Int)
        case erased
    }

    static let profiles = 8
    /// Custom ids, installations, and the id of every profile.
    static let identifiers: [OwnedIdentifier] =
        ["ann", "bob", "eve"].map(WatchWorld.customID)
        + ["phone", "desk"].map { WatchWorld.identifier(.installationID, $0) }
        + (0 ..< Self.profiles).map { number in
            Self.id(number).binary.withUnsafeBytes {
                OwnedIdentifier(IdentifierView(kind: .profileID, bytes: $0))
            }
        }

    private var lives = [Life](repeating: .unborn, count: Self.profiles)
    /// Who has a custom id itself: a profile that was merged away may keep it as an alias.
    private var customIDs = [String](repeating: "", count: Self.profiles)
    /// Whose the custom id was: an anonymous survivor takes that of the loser.
    private var owners = Array(0 ..< Self.profiles)
    private var holders: [String: Int] = [:]
    private(set) var lsn: UInt64 = 0
    /// The installations that each profile had when it was merged away.
    private var mergedInstallations: [Int: [String]] = [:]

    static func id(_ number: Int) -> ProfileID {
        ProfileID(high: 0xA000, low: UInt64(number) + 1)
    }

    private func survivor(of number: Int) -> Int? {
        switch self.lives[number] {
        case .alive: number
        case .merged(let into): self.survivor(of: into)
        case .unborn, .erased: nil
        }
    }

    /// The profiles on the way from who has it to who lives, as `Store.chain` has them.
    func chain(_ identifier: OwnedIdentifier) -> [ProfileID] {
        let text = String(decoding: identifier.bytes, as: UTF8.self)
        switch identifier.kind {
        case .customID:
            let holder = self.lives.indices.first {
                self.customIDs[$0] == text && self.survivor(of: $0) != nil
            }
            return holder.map { self.path(from: $0).map(Self.id) } ?? []
        case .installationID: return self.holders[text].map { [Self.id($0)] } ?? []
        case .profileID:
            guard
                let number = (0 ..< Self.profiles).first(where: {
                    identifier.bytes == Self.id($0).binary
                }), self.survivor(of: number) != nil
            else { return [] }
            return self.path(from: number).map(Self.id)
        }
    }

    /// A profile and each one that the one before was merged into.
    private func path(from number: Int) -> [Int] {
        guard case .merged(let into) = self.lives[number] else { return [number] }
        return [number] + self.path(from: into)
    }

    /// Whom each identifier leads to.
    var targets: [ProfileID?] { Self.identifiers.map { self.chain($0).last } }

    // MARK: Changes

    /// Does something that is possible now.
    ///
    /// - Returns: The records of its lsn, in their order.
    mutating func step(_ random: inout SeededRandom) -> [ChangeSpec] {
        while true {
            var next = self
            next.lsn += 1
            let specs = next.attempt(Int.random(in: 0 ..< 6, using: &random), &random)
            guard !specs.isEmpty else { continue }
            self = next
            return specs
        }
    }

    private func spec(
        _ kind: ChangeKind, _ number: Int, _ other: Int? = nil, between: [Int] = []
    ) -> ChangeSpec {
        ChangeSpec(
            kind: kind, lsn: self.lsn, profile: Self.id(number), other: other.map(Self.id),
            customID: self.lives[number] == .alive ? self.customIDs[number] : "",
            between: between.map(Self.id))
    }

    private func any(_ life: Life, _ random: inout SeededRandom) -> Int? {
        self.lives.indices.filter { self.lives[$0] == life }.randomElement(using: &random)
    }

    private func isFree(_ customID: String) -> Bool {
        !self.lives.indices.contains {
            self.customIDs[$0] == customID && self.survivor(of: $0) != nil
        }
    }

    private mutating func attempt(_ what: Int, _ random: inout SeededRandom) -> [ChangeSpec] {
        let customID = ["", "ann", "bob", "eve"].randomElement(using: &random)!
        let installation = ["phone", "desk"].randomElement(using: &random)!
        switch what {
        case 0:
            guard let number = self.any(.unborn, &random), customID == "" || self.isFree(customID)
            else { return [] }
            self.lives[number] = .alive
            self.give(customID, of: number, to: number)
            var created = self.spec(.created, number)
            guard Bool.random(using: &random) else { return [created] }
            created.installation = installation
            let former = self.holders.updateValue(number, forKey: installation)
            // A switch or a log-out makes the profile that the installation moves to.
            guard let former else { return [created] }
            var moved = self.spec(.installationMoved, number, former)
            moved.installation = installation
            return [created, moved]
        case 1:
            guard let number = self.any(.alive, &random), self.customIDs[number] == "",
                customID != "", self.isFree(customID)
            else { return [] }
            self.give(customID, of: number, to: number)
            return [self.spec(.identified, number)]
        case 2: return self.merge(&random)
        case 3: return self.unmerge(&random)
        case 4:
            guard let number = self.any(.alive, &random), self.holders[installation] != number
            else { return [] }
            let former = self.holders.updateValue(number, forKey: installation)
            var moved = self.spec(.installationMoved, number, former)
            moved.installation = installation
            return [moved]
        default: return self.erase(&random)
        }
    }

    private mutating func give(_ customID: String, of owner: Int, to number: Int) {
        self.customIDs[number] = customID
        self.owners[number] = owner
    }

    /// The custom id of an identified loser stays with it, unless the survivor is anonymous.
    private mutating func merge(_ random: inout SeededRandom) -> [ChangeSpec] {
        guard let loser = self.any(.alive, &random), let survivor = self.any(.alive, &random),
            loser != survivor
        else { return [] }
        var specs: [ChangeSpec] = []
        if self.customIDs[loser] != "", self.customIDs[survivor] == "" {
            self.give(self.customIDs[loser], of: self.owners[loser], to: survivor)
            self.customIDs[loser] = ""
            specs.append(self.spec(.identified, survivor, loser))
        }
        let moving = self.holders.keys.filter { self.holders[$0] == loser }.sorted()
        self.lives[loser] = .merged(into: survivor)
        self.mergedInstallations[loser] = moving
        specs.append(self.spec(.merged, survivor, loser))
        return specs
            + moving.map { installation in
                self.holders[installation] = survivor
                var moved = self.spec(.installationMoved, survivor, loser)
                moved.installation = installation
                return moved
            }
    }

    /// Undoes any merge, also one whose survivor was merged away since.
    private mutating func unmerge(_ random: inout SeededRandom) -> [ChangeSpec] {
        let merged = self.lives.indices.filter {
            self.lives[$0] != .alive && self.survivor(of: $0) != nil
        }
        guard let loser = merged.randomElement(using: &random) else { return [] }
        let path = Array(self.path(from: loser).dropFirst())
        let survivor = path[path.count - 1]
        let isOf = { (model: Self, number: Int) in model.path(from: number).contains(loser) }
        var specs: [ChangeSpec] = []
        let taken = path.last { self.customIDs[$0] != "" && isOf(self, self.owners[$0]) }
        self.lives[loser] = .alive
        if let taken {
            self.give(self.customIDs[taken], of: self.owners[taken], to: loser)
            self.customIDs[taken] = ""
            specs.append(
                self.spec(
                    .identified, loser, survivor, between: taken == survivor ? [] : [taken]))
        }
        // A survivor without one gets that of another profile that it absorbed.
        let alias = self.lives.indices.first {
            $0 != survivor && self.survivor(of: $0) == survivor && self.customIDs[$0] != ""
        }
        if self.customIDs[survivor] == "", let alias {
            self.give(self.customIDs[alias], of: self.owners[alias], to: survivor)
            self.customIDs[alias] = ""
            specs.append(self.spec(.identified, survivor, alias))
        }
        specs.append(self.spec(.unmerged, survivor, loser, between: Array(path.dropLast())))
        let moving = self.mergedInstallations[loser] ?? []
        return specs
            + moving.filter { self.holders[$0] == survivor }.map {
                self.holders[$0] = loser
                var moved = self.spec(.installationMoved, loser, survivor)
                moved.installation = $0
                return moved
            }
    }

    private mutating func erase(_ random: inout SeededRandom) -> [ChangeSpec] {
        // Two are left, so that there is always a next step.
        guard Int.random(in: 0 ..< 8, using: &random) == 0,
            self.lives.count(where: { $0 == .alive }) > 2,
            let number = self.any(.alive, &random)
        else { return [] }
        let merged = self.lives.indices.filter {
            $0 != number && self.survivor(of: $0) == number
        }
        let survivors = merged.map { self.path(from: $0)[1] }
        for gone in merged + [number] { self.lives[gone] = .erased }
        for (installation, holder) in self.holders where holder == number {
            self.holders[installation] = nil
        }
        var erased = self.spec(.erased, number)
        erased.mergedBefore = merged.map(Self.id)
        erased.survivors = survivors.map(Self.id)
        return [erased]
    }
}

extension ProfileID {
    /// As an identifier has it: 16 bytes, big-endian.
    fileprivate var binary: [UInt8] {
        withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian)) { Array($0) }
    }
}
