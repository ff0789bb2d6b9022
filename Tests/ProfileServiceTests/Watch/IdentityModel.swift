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
    private var customIDs = [String](repeating: "", count: Self.profiles)
    private var holders: [String: Int] = [:]
    private(set) var lsn: UInt64 = 0
    /// The merges that can be undone: the loser, its installations and what it was merged into.
    private var merges: [(loser: Int, survivor: Int, installations: [String])] = []

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

    /// The profiles on the way from who was named first to who lives, as `Store.chain` has them.
    func chain(_ identifier: OwnedIdentifier) -> [ProfileID] {
        let text = String(decoding: identifier.bytes, as: UTF8.self)
        switch identifier.kind {
        case .customID:
            let holder = self.lives.indices.first {
                self.lives[$0] == .alive && self.customIDs[$0] == text
            }
            return holder.map { [Self.id($0)] } ?? []
        case .installationID: return self.holders[text].map { [Self.id($0)] } ?? []
        case .profileID:
            guard
                var number = (0 ..< Self.profiles).first(where: {
                    identifier.bytes == Self.id($0).binary
                }), self.survivor(of: number) != nil
            else { return [] }
            var chain = [Self.id(number)]
            while case .merged(let into) = self.lives[number] {
                number = into
                chain.append(Self.id(number))
            }
            return chain
        }
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

    private func spec(_ kind: ChangeKind, _ number: Int, _ other: Int? = nil) -> ChangeSpec {
        ChangeSpec(
            kind: kind, lsn: self.lsn, profile: Self.id(number), other: other.map(Self.id),
            customID: self.lives[number] == .alive ? self.customIDs[number] : "")
    }

    private func any(_ life: Life, _ random: inout SeededRandom) -> Int? {
        self.lives.indices.filter { self.lives[$0] == life }.randomElement(using: &random)
    }

    private func isFree(_ customID: String) -> Bool {
        !self.lives.indices.contains {
            self.lives[$0] == .alive && self.customIDs[$0] == customID
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
            self.customIDs[number] = customID
            var created = self.spec(.created, number)
            if self.holders[installation] == nil, Bool.random(using: &random) {
                self.holders[installation] = number
                created.installation = installation
            }
            return [created]
        case 1:
            guard let number = self.any(.alive, &random), self.customIDs[number] == "",
                customID != "", self.isFree(customID)
            else { return [] }
            self.customIDs[number] = customID
            return [self.spec(.identified, number)]
        case 2: return self.merge(&random)
        case 3: return self.unmerge()
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

    /// Only an anonymous profile is absorbed.
    private mutating func merge(_ random: inout SeededRandom) -> [ChangeSpec] {
        guard let loser = self.any(.alive, &random), let survivor = self.any(.alive, &random),
            loser != survivor, self.customIDs[loser] == ""
        else { return [] }
        let moving = self.holders.keys.filter { self.holders[$0] == loser }.sorted()
        self.lives[loser] = .merged(into: survivor)
        self.merges.append((loser, survivor, moving))
        return [self.spec(.merged, survivor, loser)]
            + moving.map { installation in
                self.holders[installation] = survivor
                var moved = self.spec(.installationMoved, survivor, loser)
                moved.installation = installation
                return moved
            }
    }

    /// Undoes the last merge, if both are still what they were.
    private mutating func unmerge() -> [ChangeSpec] {
        guard let merge = self.merges.popLast(), self.lives[merge.survivor] == .alive,
            self.lives[merge.loser] == .merged(into: merge.survivor)
        else { return [] }
        self.lives[merge.loser] = .alive
        return [self.spec(.unmerged, merge.survivor, merge.loser)]
            + merge.installations.filter { self.holders[$0] == merge.survivor }.map {
                self.holders[$0] = merge.loser
                var moved = self.spec(.installationMoved, merge.loser, merge.survivor)
                moved.installation = $0
                return moved
            }
    }

    private mutating func erase(_ random: inout SeededRandom) -> [ChangeSpec] {
        guard Int.random(in: 0 ..< 8, using: &random) == 0, let number = self.any(.alive, &random)
        else { return [] }
        let merged = self.lives.indices.filter {
            $0 != number && self.survivor(of: $0) == number
        }
        for gone in merged + [number] { self.lives[gone] = .erased }
        for (installation, holder) in self.holders where holder == number {
            self.holders[installation] = nil
        }
        var erased = self.spec(.erased, number)
        erased.mergedBefore = merged.map(Self.id)
        return [erased]
    }
}

extension ProfileID {
    /// As an identifier has it: 16 bytes, big-endian.
    fileprivate var binary: [UInt8] {
        withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian)) { Array($0) }
    }
}
