import Bytes
import Profiles
import Testing

@testable import Messages

/// A WatchRequest is valid, or told everything that is wrong with it; and its filter lets pass what
/// was asked for.
@Suite struct WatchDecoderTests {
    private static let project = Wire.field(1, "default")

    private func decode(_ wire: [UInt8]) -> Decoded<DecodedWatch> {
        let decoder = MessageDecoder()
        // A reused decoder must not change a filter that was decoded before.
        return wire.withUnsafeBytes { decoder.decodeWatch($0) }
    }

    private func violations(_ fields: [UInt8]) -> [String] {
        guard case .invalid(let violations, _) = self.decode(fields) else { return ["valid"] }
        return violations.list.map(\.path)
    }

    private func filter(_ fields: [UInt8]) throws -> ChangeFilter {
        guard case .message(let request) = self.decode(Self.project + fields) else {
            throw WatchError.invalid
        }
        return request.filter
    }

    private enum WatchError: Error {
        case invalid
    }

    @Test func requestWithEveryFilterIsDecoded() throws {
        let wire =
            Self.project + Wire.field(2, 77) + Wire.field(3, [3, 9]) + Wire.field(4, "Buy")
            + Wire.field(5, "Age") + Wire.field(6, [1]) + Wire.field(7, Wire.field(2, "Ann"))
            + Wire.field(8, 1)
        guard case .message(let request) = self.decode(wire) else {
            Issue.record("the request is valid")
            return
        }
        #expect(request.fromLSN == 77)
        let filter = request.filter
        #expect(filter.contains(.eventStored) && filter.contains(.suppressionChanged))
        #expect(!filter.contains(.created) && filter.includesHistorical)
        #expect(filter.eventNames == [Array("buy".utf8)])
        #expect(filter.attributes == [Array("age".utf8)])
        #expect(filter.identifiers.map(\.kind) == [.customID])
        #expect(filter.identifiers.map(\.bytes) == [Array("Ann".utf8)])
    }

    @Test func emptyFiltersTakeEveryKindButNothingHistorical() throws {
        let filter = try self.filter([])
        for kind in ChangeKind.allCases { #expect(filter.contains(kind)) }
        #expect(!filter.includesHistorical && filter.identifiers.isEmpty)
    }

    @Test func everyViolationIsNamedWithItsPath() {
        #expect(self.violations([]) == ["project"])
        #expect(self.violations(Wire.field(1, "No Name")) == ["project"])
        let wire =
            Self.project + Wire.field(3, [0, 3, 11]) + Wire.field(4, "a b") + Wire.field(4, "ok")
            + Wire.field(5, "") + Wire.field(6, [0, 2, 4]) + Wire.field(7, Wire.field(2, ""))
            + Wire.field(7, Wire.field(1, "short")) + Wire.field(7, [UInt8]())
        #expect(
            self.violations(wire) == [
                "kinds[0]", "kinds[2]", "event_names[0]", "attributes[0]", "channels[0]",
                "channels[2]", "identifiers[0].custom_id", "identifiers[1].profile_id",
                "identifiers[2]",
            ])
    }

    @Test(
        arguments: [
            (3, "kinds"), (4, "event_names"), (5, "attributes"), (6, "channels"),
            (7, "identifiers"),
        ] as [(UInt64, String)])
    func filterHasAtMost100Items(field: UInt64, name: String) throws {
        func items(_ count: Int) -> [UInt8] {
            switch field {
            case 3, 6: return Wire.field(field, [UInt8](repeating: 1, count: count))
            case 7:
                return (0 ..< count).flatMap { Wire.field(7, Wire.field(2, "person\($0)")) }
            default: return (0 ..< count).flatMap { Wire.field(field, "name\($0)") }
            }
        }
        _ = try self.filter(items(100))
        #expect(self.violations(Self.project + items(101)) == [name])
    }

    // MARK: What passes

    /// The kinds of the fixture's changes that pass a filter.
    private func passing(_ fields: [UInt8], _ fixture: WatchFixture) throws -> [ChangeKind] {
        let filter = try self.filter(fields)
        return fixture.changes.compactMap { record in
            record.withUnsafeBytes { bytes in
                guard let change = ChangeView(bytes) else { return nil }
                let resolver = fixture.store.resolver(of: change.project)
                return filter.passes(change, resolver) ? change.kind : nil
            }
        }
    }

    @Test func changePassesIfItMatchesAFilterThatIsFilled() throws {
        let fixture = WatchFixture()
        let age = Wire.field(6, Wire.field(1, Wire.entry("age", Wire.integer(1))))
        let city = Wire.field(6, Wire.field(1, Wire.entry("city", Wire.string("x"))))
        try fixture.identify(Wire.field(4, "ann") + age)
        try fixture.identify(Wire.field(4, "ann") + city)
        try fixture.track(Wire.track([Wire.event("buy"), Wire.event("visit", id: "named")]))
        try fixture.track(Wire.track([Wire.event("buy")], extra: Wire.field(8, 1)))
        try fixture.subscribe(
            Wire.field(3, Wire.field(2, "ann"))
                + Wire.field(4, Wire.field(1, 2) + Wire.field(3, 3)) + Wire.field(5, 1))
        let all: [ChangeKind] = [
            .created, .attributesChanged, .eventStored, .eventStored, .subscriptionChanged,
        ]
        #expect(try self.passing([], fixture) == all)
        #expect(
            try self.passing(Wire.field(8, 1), fixture).filter { $0 == .eventStored }.count == 3)
        #expect(try self.passing(Wire.field(3, [3]), fixture) == [.eventStored, .eventStored])
        #expect(try self.passing(Wire.field(4, "VISIT"), fixture) == [.eventStored])
        #expect(try self.passing(Wire.field(4, "never"), fixture) == [])
        #expect(try self.passing(Wire.field(5, "Age"), fixture) == [.created])
        #expect(try self.passing(Wire.field(5, "city"), fixture) == [.attributesChanged])
        #expect(try self.passing(Wire.field(6, [2]), fixture) == [.subscriptionChanged])
        #expect(try self.passing(Wire.field(6, [1]), fixture) == [])
        #expect(
            try self.passing(Wire.field(4, "visit") + Wire.field(5, "age"), fixture)
                == [.created, .eventStored], "one that is filled is enough")
        #expect(
            try self.passing(Wire.field(3, [1]) + Wire.field(4, "visit"), fixture) == [],
            "the kind is asked for besides")
    }
}
