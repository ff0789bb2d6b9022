import Bytes
import IOSimulation
import Profiles
import Testing

@testable import ProfileService

/// Whom identifiers lead to at each lsn, compared with a plain model over random histories.
@Suite struct IdentifierTracksTests {
    /// One of the identifiers at a time, as a watcher of it would have it.
    private static func tracks(_ model: IdentityModel) -> [IdentifierTracks] {
        IdentityModel.identifiers.map { IdentifierTracks([$0], chains: [model.chain($0)]) }
    }

    private static func id(_ number: Int) -> OwnedIdentifier {
        IdentityModel.identifiers[self.namesCount + number]
    }

    private static func history(
        _ seed: UInt64, steps: Int
    ) -> (models: [IdentityModel], records: [[ChangeSpec]]) {
        var random = SeededRandom(seed: seed)
        var (models, records) = ([IdentityModel()], [[ChangeSpec]]())
        var model = IdentityModel()
        for _ in 0 ..< steps {
            records.append(model.step(&random))
            models.append(model)
        }
        return (models, records)
    }

    /// Custom ids and installations; profile ids come behind them.
    private static let namesCount = 5

    private static func isErased(_ id: ProfileID, _ end: IdentityModel) -> Bool {
        end.chain(Self.id(Int(id.low) - 1)).isEmpty
    }

    /// Before it exists a profile's id may as well lead to it: there are no changes of it.
    private static func isUnborn(_ expected: ProfileID?, _ number: Int) -> Bool {
        expected == nil && number >= self.namesCount
    }

    /// Steps are collected on the way to the end, and undone from it.
    ///
    /// - Returns: Whom the identifier leads to, and how many readings that took.
    private static func goBack(
        _ identifier: OwnedIdentifier, from end: IdentityModel, _ records: ArraySlice<[ChangeSpec]>
    ) throws -> (tracks: IdentifierTracks, readings: Int) {
        var (passed, readings) = (Set<ProfileID>(), 0)
        while true {
            var links = IdentifierLinks([identifier], passed: passed) {
                Array(end.chain($0).prefix(2))
            }
            passed = links.passed
            var steps: [IdentifierLinks.Step] = []
            for spec in records.joined() { steps += try spec.withView { links.steps(of: $0) } }
            readings += 1
            guard links.passed == passed else {
                passed = links.passed
                continue
            }
            for step in steps.reversed() { links.undo(step) }
            return (IdentifierTracks([identifier], chains: links.chains), readings)
        }
    }

    @Test func everyIdentifierIsFollowedThroughEveryChange() throws {
        var mistakes: [String] = []
        for seed in 1 ... 100 as ClosedRange<UInt64> {
            let (models, records) = Self.history(seed, steps: 24)
            var each = Self.tracks(models[0])
            for (index, specs) in records.enumerated() {
                let (before, after) = (models[index].targets, models[index + 1].targets)
                for spec in specs {
                    for number in each.indices {
                        let isMatch = try spec.withView { each[number].follow($0) }
                        // Before it or after, it leads to its profile or other profile; of the
                        // changes of an un-merge one may have led it away already.
                        let isUnmerge = specs.contains { $0.kind == .unmerged }
                        let concerned = [isUnmerge ? nil : before[number], after[number]]
                            .compactMap(\.self)
                        let named = [spec.profile, spec.other].compactMap(\.self)
                        if concerned.contains(where: named.contains), !isMatch {
                            mistakes.append("seed \(seed), \(spec) passes \(number)")
                        }
                    }
                }
                for number in 0 ..< Self.namesCount
                where each[number].targets.last != after[number] {
                    mistakes.append("seed \(seed), lsn \(index + 1), identifier \(number)")
                }
            }
        }
        #expect(mistakes.isEmpty, "\(mistakes.prefix(5))")
    }

    @Test func everyEarlierLSNIsFoundFromTheEndAndFollowedBackToIt() throws {
        var (mistakes, found, readings) = ([String](), 0, 0)
        for seed in 1 ... 20 as ClosedRange<UInt64> {
            let (models, records) = Self.history(seed, steps: 24)
            let end = models[records.count]
            for first in 0 ... records.count {
                for (number, identifier) in IdentityModel.identifiers.enumerated() {
                    var (tracks, count) = try Self.goBack(identifier, from: end, records[first...])
                    readings = max(readings, count)
                    let chain = models[first].chain(identifier)
                    if Self.isAllowed(tracks.targets.last, for: chain, number, end) {
                        found += chain.isEmpty ? 0 : 1
                    } else {
                        mistakes.append("seed \(seed), lsn \(first), identifier \(number)")
                    }
                    guard number < Self.namesCount else { continue }
                    for spec in records[first...].joined() {
                        _ = try spec.withView { tracks.follow($0) }
                    }
                    if tracks.targets.last != end.targets[number] {
                        mistakes.append("seed \(seed), from \(first), identifier \(number)")
                    }
                }
            }
        }
        #expect(mistakes.isEmpty, "\(mistakes.prefix(5)) of \(mistakes.count)")
        #expect(found > 2_000)
        #expect(readings > 2 && readings < WatchLimits().historyReadingsMax)
    }

    /// Of who is erased until the end, nothing says any more which names it had; where its id led
    /// is known.
    private static func isAllowed(
        _ target: ProfileID?, for chain: [ProfileID], _ number: Int, _ end: IdentityModel
    ) -> Bool {
        if target == chain.last || Self.isUnborn(chain.last, number) { return true }
        guard number < Self.namesCount, let holder = chain.first else { return false }
        return Self.isErased(holder, end) && target.map { Self.isErased($0, end) } ?? true
    }

    @Test func anUnmergeThroughAThirdProfileIsFollowedFromBefore() throws {
        let (ann, bob, eve) = (IdentityModel.id(0), IdentityModel.id(1), IdentityModel.id(2))
        let changes = [
            ChangeSpec(kind: .merged, lsn: 2, profile: eve, other: bob),
            ChangeSpec(kind: .unmerged, lsn: 3, profile: eve, other: ann, between: [bob]),
        ]
        // Ann was merged into Bob before the first position: only the un-merge tells.
        for (first, chain) in [(0, [ann, bob]), (1, [ann, bob, eve]), (2, [ann])] {
            var links = IdentifierLinks([Self.id(0)], passed: [bob]) { identifier in
                identifier == Self.id(0) ? [ann] : identifier == Self.id(1) ? [bob, eve] : [eve]
            }
            let steps = try changes[first...].flatMap { change in
                try change.withView { links.steps(of: $0) }
            }
            for step in steps.reversed() { links.undo(step) }
            #expect(links.chains == [chain], "from \(first)")
        }
    }
}
