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

    /// Whether what an identifier led to is known at the end: nothing says of an erased person what
    /// led to it.
    private static func isKnown(_ id: ProfileID?, _ end: IdentityModel) -> Bool {
        guard let id else { return true }
        let number = Int(id.low) - 1
        return !end.chain(IdentityModel.identifiers[self.namesCount + number]).isEmpty
    }

    /// Before it exists a profile's id may as well lead to it: there are no changes of it.
    private static func isUnborn(_ expected: ProfileID?, _ number: Int) -> Bool {
        expected == nil && number >= self.namesCount
    }

    /// Steps are collected on the way to the end, and undone from it.
    private static func goBack(
        _ tracks: inout IdentifierTracks, through records: ArraySlice<[ChangeSpec]>
    ) throws {
        var steps: [IdentifierTracks.Step] = []
        var passed = -1
        while tracks.passed.count != passed {
            passed = tracks.passed.count
            steps = []
            for spec in records.joined() { steps += try spec.withView { tracks.steps(of: $0) } }
        }
        for step in steps.reversed() { tracks.undo(step) }
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
                        // Before it or after, it leads to its profile or other profile.
                        let concerned = [before[number], after[number]].compactMap(\.self)
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
        var (mistakes, found) = ([String](), 0)
        for seed in 1 ... 40 as ClosedRange<UInt64> {
            let (models, records) = Self.history(seed, steps: 24)
            let end = models[records.count]
            for first in 0 ... records.count {
                var each = Self.tracks(end)
                for number in each.indices {
                    try Self.goBack(&each[number], through: records[first...])
                    let expected = models[first].targets[number]
                    // Of who is erased until the end, nothing says any more whom it led to.
                    if Self.isKnown(expected, end) {
                        found += expected == nil ? 0 : 1
                        if each[number].targets.last != expected, !Self.isUnborn(expected, number) {
                            mistakes.append("seed \(seed), lsn \(first), identifier \(number)")
                        }
                    }
                    guard number < Self.namesCount else { continue }
                    for spec in records[first...].joined() {
                        _ = try spec.withView { each[number].follow($0) }
                    }
                    if each[number].targets.last != end.targets[number] {
                        mistakes.append("seed \(seed), from \(first), identifier \(number)")
                    }
                }
            }
        }
        #expect(mistakes.isEmpty, "\(mistakes.prefix(5)) of \(mistakes.count)")
        #expect(found > 3_000)
    }
}
