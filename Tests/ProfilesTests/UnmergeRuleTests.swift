import Testing

@testable import Profiles

/// One merge, writes through the identifiers of both, and its undoing, against a model that knows
/// nothing but the rule: what was written since through a side is that side's, and of everything
/// else each gets back what it had.
@Suite struct UnmergeRuleTests {
    private enum Side: CaseIterable {
        case loser
        case survivor

        var person: String { self == .loser ? "old" : "ann" }
        var device: String { self == .loser ? "d" : "p" }
    }

    /// What one side has; written from the rules of attributes and counters alone.
    private struct Model: Equatable {
        var scalars: [String: Int64] = [:]
        var lists: [String: Set<String>] = [:]
        var counts: [String: UInt64] = [:]
    }

    /// The last write of each attribute and element since the merge.
    private struct Since {
        /// `nil`: deleted.
        var scalars: [String: (Side, Int64?)] = [:]
        /// By list and element: whether it was added.
        var elements: [String: [String: (Side, Bool)]] = [:]
        var counts: [Side: [String: UInt64]] = [:]
    }

    private struct Write {
        var side: Side
        var byDevice: Bool
        var set: [(String, Int64?)] = []
        var list: (String, PatchAction, [String])?
        var events: [String] = []
    }

    private static func write(_ random: inout SeededRandom) -> Write {
        var write = Write(
            side: random.chance(50) ? .loser : .survivor, byDevice: random.chance(50))
        for name in ["a", "b", "c", "n"] where random.chance(25) {
            write.set.append((name, random.chance(25) ? nil : Int64(random.below(9))))
        }
        if random.chance(50) {
            let texts = Set((0 ... random.below(3)).map { _ in "x\(random.below(6))" }).sorted()
            write.list = (["l", "m"][random.below(2)], random.chance(60) ? .add : .remove, texts)
        }
        if random.chance(60) {
            write.events = (0 ... random.below(2)).map { _ in "e\(random.below(3))" }
        }
        return write
    }

    private static func apply(_ write: Write, to fixture: TrackFixture) throws {
        fixture.now += 1_000
        var spec = IdentifySpec(
            device: write.byDevice ? write.side.device : "",
            person: write.byDevice ? "" : write.side.person)
        for (name, value) in write.set {
            spec.patch.append((name, value == nil ? .delete : .set, value ?? 0, []))
        }
        if let (name, action, texts) = write.list { spec.patch.append((name, action, 0, texts)) }
        try fixture.apply(spec.record)
        guard !write.events.isEmpty else { return }
        let events = write.events.map { EventSpec(name: $0) }
        try fixture.track(
            write.byDevice
                ? .installation(write.side.device, events) : TrackSpec(write.side.person, events),
            after: 1_000)
    }

    private static func apply(_ write: Write, to model: inout Model) {
        for (name, value) in write.set { model.scalars[name] = value }
        if let (name, action, texts) = write.list {
            if action == .add {
                model.lists[name, default: []].formUnion(texts)
            } else if model.lists[name] != nil {
                model.lists[name]?.subtract(texts)
            }
        }
        for name in write.events { model.counts[name, default: 0] += 1 }
    }

    private static func note(_ write: Write, in since: inout Since) {
        for (name, value) in write.set { since.scalars[name] = (write.side, value) }
        if let (name, action, texts) = write.list {
            for text in texts {
                since.elements[name, default: [:]][text] = (write.side, action == .add)
            }
        }
        for name in write.events { since.counts[write.side, default: [:]][name, default: 0] += 1 }
    }

    /// The rule.
    private static func expected(_ side: Side, had: Model, _ since: Since) -> Model {
        var model = had
        for (name, (writer, value)) in since.scalars where writer == side {
            model.scalars[name] = value
        }
        for (name, elements) in since.elements {
            for (text, (writer, isAdded)) in elements where writer == side {
                if isAdded {
                    model.lists[name, default: []].insert(text)
                } else {
                    model.lists[name]?.remove(text)
                }
            }
        }
        model.counts.merge(since.counts[side] ?? [:]) { $0 + $1 }
        return model
    }

    private static func seen(_ side: Side, _ fixture: TrackFixture) -> Model {
        var model = Model()
        for (name, text) in fixture.attributes(.person(side.person)) {
            if let number = Int64(text) {
                model.scalars[name] = number
            } else {
                model.lists[name] = Set(text.split(separator: ",").map(String.init))
            }
        }
        model.counts = fixture.counts(.person(side.person))
        return model
    }

    @Test(arguments: 1 ... 40 as ClosedRange<UInt64>, [1_000, 5] as [UInt64])
    func eachSideHasWhatTheRuleSays(seed: UInt64, eventsMax: UInt64) throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = eventsMax
        let fixture = TrackFixture(limits: limits)
        var random = SeededRandom(state: seed)
        var had: [Side: Model] = [:]
        for side in Side.allCases { try fixture.identify(side.person, device: side.device) }
        for _ in 0 ..< 12 {
            let write = Self.write(&random)
            try Self.apply(write, to: fixture)
            Self.apply(write, to: &had[write.side, default: Model()])
        }
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        var since = Since()
        for _ in 0 ..< random.below(16) {
            let write = Self.write(&random)
            try Self.apply(write, to: fixture)
            Self.note(write, in: &since)
        }
        try #require(try fixture.unmerge(merge.mergeID).rejection == .none)
        for side in Side.allCases {
            let expected = Self.expected(side, had: had[side] ?? Model(), since)
            var seen = Self.seen(side, fixture)
            // An empty list is one for some and nothing for others: the rule does not say.
            var wanted = expected
            for name in ["l", "m"] where (wanted.lists[name] ?? []).isEmpty {
                wanted.lists[name] = nil
                if (seen.lists[name] ?? []).isEmpty { seen.lists[name] = nil }
            }
            #expect(seen == wanted, "\(side)")
        }
    }
}
