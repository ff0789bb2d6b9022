import Bytes
import Testing

@testable import Profiles

/// Random filters on random people, compared with the evaluation of `ModelFilter`.
@Suite struct FilterModelTests {
    private static let second = TrackFixture.second
    private static let texts = ["a", "ab", "abc", "b*", "é", "éa", "z", "*", "a b"]
    private static let numbers = [
        "0", "1", "2", "3", "-1", "1.5", "2.0", "1e2", "9007199254740993", "9007199254740992.0",
        "9223372036854775807", "-9223372036854775808", "9223372036854775808.0", "-0.5",
    ]
    private static let names = ["p", "q", "r", "s", "missing"]
    private static let eventNames = ["buy", "view", "never"]

    /// Makes people, events and filters out of few values, so that they meet.
    private struct Generator {
        var random: SeededRandom
        let now: Int64

        mutating func pick<Element>(_ elements: [Element]) -> Element {
            elements[self.random.below(elements.count)]
        }

        mutating func text() -> String { self.pick(FilterModelTests.texts) }

        /// A time near to the times that filters ask for.
        mutating func time() -> Int64 {
            self.now - Int64(self.random.below(5)) * 3_600 * FilterModelTests.second
        }

        mutating func value(isEvent: Bool, level: Int = 1) -> PlainValue {
            switch self.random.below(isEvent && level < 3 ? 12 : 9) {
            case 0, 1: return .string(self.text())
            case 2: return .url(self.text())
            case 3, 4:
                return .integer(
                    self.pick([0, 1, 2, 3, -1, 100, .max, .min, 9_007_199_254_740_993]))
            case 5:
                return .number(
                    self.pick([0, 1, 1.5, 2, 100, -0.5, 9_007_199_254_740_992, 0x1p63, -0x1p63]))
            case 6: return .boolean(self.random.chance(50))
            case 7: return .time(self.time())
            case 8:
                var list: [String] = []
                for _ in 0 ..< self.random.below(3) {
                    let text = self.text()
                    if !list.contains(text) { list.append(text) }
                }
                return .list(list)
            case 9, 10: return .object(self.fields(level: level + 1))
            default:
                return .objects(
                    (0 ..< self.random.below(3)).map { _ in self.fields(level: level + 1) })
            }
        }

        mutating func fields(level: Int) -> [String: PlainValue] {
            var fields: [String: PlainValue] = [:]
            for name in ["p", "q", "r"] where self.random.chance(70) {
                fields[name] = self.value(isEvent: true, level: level)
            }
            return fields
        }

        mutating func event() -> PlainEvent {
            PlainEvent(
                name: self.pick(["buy", "view"]), label: self.random.chance(70) ? self.text() : "",
                tags: (0 ..< self.random.below(3)).map { _ in self.text() },
                attributes: self.fields(level: 1), time: self.time())
        }

        mutating func person(_ number: Int) -> PlainPerson {
            var person = PlainPerson()
            if self.random.chance(70) { person.customID = "\(self.text())\(number)" }
            if person.customID.isEmpty || self.random.chance(50) {
                person.installation = "d\(number)"
            }
            for name in FilterModelTests.names.dropLast() where self.random.chance(70) {
                person.attributes[name] = self.value(isEvent: false)
            }
            if self.random.chance(30) { person.attributes["language"] = .string("fr") }
            person.events = (0 ..< self.random.below(4)).map { _ in self.event() }
            guard !person.customID.isEmpty else { return person }
            for key in ["EMAIL", "EMAIL.news", "SMS"] where self.random.chance(40) {
                person.subscriptions[key] = self.pick([.subscribed, .unsubscribed])
            }
            if self.random.chance(40) {
                person.attributes["email_address"] = .string("x\(number)@a.example")
                person.isEmailSuppressed = self.random.chance(50)
            }
            return person
        }

        // MARK: Filters

        mutating func timeConstant() -> ModelConstant {
            let hours = self.random.below(5)
            if self.random.chance(50) {
                return .time("-\(hours)h", microseconds: self.now - Int64(hours) * 3_600_000_000)
            }
            // 2023-11-14T22:13:20Z is the time at which the fixture starts.
            let microseconds = TrackFixture.start - Int64(hours) * 3_600_000_000
            return .time("2023-11-14T\(22 - hours):13:20Z", microseconds: microseconds)
        }

        mutating func constant(_ comparator: String) -> ModelConstant {
            switch self.random.below(10) {
            case 0 ..< 3: return .text(self.text())
            case 3 ..< 6: return .number(self.pick(FilterModelTests.numbers))
            case 6: return self.timeConstant()
            case 7: return .word(self.pick(["a", "ab", "é"]))
            case 8 where comparator == ":": return .star
            default:
                return ["=", "!=", ":"].contains(comparator)
                    ? .boolean(self.random.chance(50)) : .text(self.text())
            }
        }

        mutating func leaf(isEvent: Bool) -> ModelFilter {
            let all = ["=", "!=", "<", "<=", ">", ">=", ":"]
            let comparator = self.pick(all)
            let ordering = self.pick(Array(all.dropLast()))
            let equality = self.pick(["=", "!="])
            switch self.random.below(isEvent ? 20 : 14) {
            case 0:
                return .leaf(
                    field: .state, comparator: equality,
                    constant: .word(self.pick(["ANONYMOUS", "IDENTIFIED"])))
            case 1:
                return .leaf(
                    field: .customID, comparator: comparator,
                    constant: comparator == ":" ? .star : .text(self.text() + "*"))
            case 2:
                return .leaf(
                    field: .time(self.pick(["created_at", "updated_at", "last_seen_at"])),
                    comparator: ordering, constant: self.timeConstant())
            case 3:
                return .leaf(
                    field: .count(self.pick(FilterModelTests.eventNames)), comparator: ordering,
                    constant: .number(self.pick(FilterModelTests.numbers)))
            case 4:
                let name = self.pick(FilterModelTests.eventNames)
                return .leaf(
                    field: self.random.chance(50) ? .first(name) : .last(name),
                    comparator: comparator,
                    constant: comparator == ":" ? .star : self.timeConstant())
            case 5:
                return .leaf(
                    field: .subscription(self.pick(["EMAIL", "EMAIL.news", "SMS", "PUSH"])),
                    comparator: equality,
                    constant: .word(self.pick(["SUBSCRIBED", "UNSUBSCRIBED", "PENDING", "UNSET"])))
            case 6:
                return .leaf(
                    field: .suppressed, comparator: equality,
                    constant: .boolean(self.random.chance(50)))
            case 7:
                return .leaf(
                    field: .installations, comparator: ":",
                    constant: self.random.chance(30) ? .star : .text("d\(self.random.below(60))"))
            case 8:
                let constant = self.constant("=")
                // Alone, `-1` is `NOT 1`.
                return .literal(constant.text.hasPrefix("-") ? .number("1") : constant)
            case 14: return .leaf(field: .label, comparator: ordering, constant: .text(self.text()))
            case 15:
                return .leaf(
                    field: .tags, comparator: ":",
                    constant: self.random.chance(30) ? .star : .text(self.text()))
            case 16...:
                let path = (0 ... self.random.below(3)).map { _ in self.pick(["p", "q", "r"]) }
                return .leaf(
                    field: .event(path), comparator: comparator,
                    constant: self.constant(comparator))
            default:
                let name = self.pick(FilterModelTests.names + ["language"])
                return .leaf(
                    field: .attribute(name), comparator: name == "language" ? "=" : comparator,
                    constant: name == "language" ? .text("fr") : self.constant(comparator))
            }
        }

        mutating func filter(isEvent: Bool, depth: Int) -> ModelFilter {
            guard depth > 0, self.random.chance(70) else { return self.leaf(isEvent: isEvent) }
            let items = (0 ... 1 + self.random.below(2)).map { _ in
                self.filter(isEvent: isEvent, depth: depth - 1)
            }
            switch self.random.below(3) {
            case 0: return .not(items[0])
            case 1: return .and(items)
            default: return .or(items)
            }
        }
    }

    /// 60 people and 6,000 filters, each on five of them: half with an event.
    @Test(arguments: [UInt64(20_260_131), 7, 4_711])
    func randomFiltersHoldAsTheModelSays(seed: UInt64) throws {
        let fixture = TrackFixture()
        var generator = Generator(random: SeededRandom(state: seed), now: TrackFixture.start)
        var people: [(person: PlainPerson, profile: ProfileRef)] = []
        for number in 0 ..< 60 {
            var person = generator.person(number)
            let profile = try fixture.enter(&person)
            people.append((person, profile))
        }
        var (held, evaluated) = (0, 0)
        for number in 0 ..< 2_000 {
            let isEvent = number % 2 == 0
            let filter = generator.filter(isEvent: isEvent, depth: 3)
            let text = filter.text(&generator.random)
            let compiled = try #require(try? CompiledFilter(text, isEvent ? .trigger : .profile))
            let again = try CompiledFilter(compiled.canonicalText, compiled.scope)
            #expect(again.canonicalText == compiled.canonicalText, "\(text)")
            for _ in 0 ..< 5 {
                let (person, profile) = generator.pick(people)
                let event = isEvent ? generator.event() : nil
                let expected = filter.holds(
                    ModelSubject(person: person, event: event, now: fixture.now))
                let stored = event?.stored(fixture.store.project.names)
                for candidate in [compiled, again] {
                    let found = Self.matches(fixture, candidate, profile, stored)
                    #expect(
                        found == expected, "\(text) on \(person) with \(String(describing: event))")
                }
                held += expected ? 1 : 0
                evaluated += 1
            }
        }
        // Neither outcome is so rare that the comparison would say nothing.
        #expect(held > evaluated / 10 && held < evaluated * 9 / 10)
    }

    /// A scan finds whom the filter holds for, through an index or not, on profiles or copies.
    @Test func scansFindWhomRandomFiltersHoldFor() throws {
        let fixture = TrackFixture()
        var generator = Generator(random: SeededRandom(state: 99), now: TrackFixture.start)
        var people: [ProfileID: PlainPerson] = [:]
        for number in 0 ..< 200 {
            var person = generator.person(number)
            let profile = try fixture.enter(&person)
            people[fixture.store.pool.header(profile).pointee.id] = person
        }
        var (found, indexed) = (0, 0)
        for _ in 0 ..< 500 {
            let model = generator.filter(isEvent: false, depth: 2)
            let filter = try CompiledFilter(model.text(&generator.random), .profile)
            let expected = people.filter {
                model.holds(ModelSubject(person: $0.value, event: nil, now: fixture.now))
            }.keys
            let scan = ProfileScanTests.scan(fixture, filter, pageSize: 7)
            #expect(Set(scan.ids) == Set(expected) && scan.ids.count == expected.count)
            #expect(scan.count == expected.count, "\(filter.text)")
            found += scan.count
            indexed += scan.usesIndex ? 1 : 0
        }
        #expect(found > 0 && indexed > 5)
    }

    private static func matches(
        _ fixture: TrackFixture, _ filter: CompiledFilter, _ profile: ProfileRef, _ event: [UInt8]?
    ) -> Bool {
        guard let event else {
            let header = fixture.store.pool.header(profile).pointee
            let found = fixture.store.matches(filter, header: header, now: fixture.now)
            var copies = ByteBuffer()
            let copy = fixture.store.copyParts(of: header, fixture.now, into: &copies)
            let ofCopy = fixture.store.matches(
                filter, copy, parts: UnsafeRawPointer(copies.base), now: fixture.now)
            #expect(ofCopy == found, "a copy is as good as the profile: \(filter.text)")
            return found
        }
        return event.withUnsafeBytes {
            fixture.store.matches(filter, profile: profile, event: $0, now: fixture.now)
        }
    }
}
