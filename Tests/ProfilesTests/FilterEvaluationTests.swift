import Bytes
import Testing

@testable import Profiles

/// Each comparator on each kind of value, on what is stored.
@Suite struct FilterEvaluationTests {
    private static let second = TrackFixture.second

    /// A fixture with one person of all kinds of attributes.
    private static func person(_ change: (inout PlainPerson) -> Void = { _ in }) throws
        -> (fixture: TrackFixture, profile: ProfileRef)
    {
        let fixture = TrackFixture()
        var person = PlainPerson()
        person.customID = "ann"
        person.attributes = [
            "s": .string("bé"), "u": .url("https://a.example/x"), "i": .integer(5),
            "n": .number(2.5), "t": .boolean(true), "f": .boolean(false),
            "w": .time(1_000_000 * second), "l": .list(["x", "y"]),
        ]
        change(&person)
        let profile = try fixture.enter(&person)
        return (fixture, profile)
    }

    /// Comparators in the order `= != < <= > >= :`, as `1` and `0`.
    private static func all(
        _ field: String, _ constant: String, _ fixture: TrackFixture, _ profile: ProfileRef
    ) throws -> String {
        try ["=", "!=", "<", "<=", ">", ">=", ":"].map {
            try fixture.matches("\(field) \($0) \(constant)", profile) ? "1" : "0"
        }.joined()
    }

    private static let comparisons: [(String, String, String)] = [
        // A value that is smaller than, equal to and greater than the constant.
        ("s", "\"c\"", "0111000"), ("s", "\"bé\"", "1001011"), ("s", "\"b\"", "0100110"),
        ("u", "\"https://b\"", "0111000"), ("u", "\"https://a.example/x\"", "1001011"),
        ("i", "6", "0111000"), ("i", "5", "1001011"), ("i", "4", "0100110"),
        ("i", "5.5", "0111000"), ("i", "5.0", "1001011"), ("i", "4.5", "0100110"),
        ("n", "3", "0111000"), ("n", "2.5", "1001011"), ("n", "2", "0100110"),
        ("w", "\"1970-01-12T13:46:41Z\"", "0111000"),
        ("w", "\"1970-01-12T13:46:40Z\"", "1001011"),
        ("w", "\"1970-01-12T13:46:39Z\"", "0100110"), ("w", "\"-1d\"", "0111000"),
        // Values of another type, and none.
        ("s", "5", "0000000"), ("i", "\"5\"", "0000000"), ("n", "\"x\"", "0000000"),
        ("t", "\"true\"", "0000000"), ("t", "1", "0000000"), ("w", "\"x\"", "0000000"),
        ("w", "1000000", "0000000"), ("l", "1", "0000000"), ("none", "\"x\"", "0000000"),
        ("none", "1", "0000000"),
        // Of a list only `:` finds something.
        ("l", "\"x\"", "0000001"), ("l", "\"z\"", "0000000"),
    ]

    @Test(arguments: Self.comparisons)
    func comparatorsHoldAsTheOrderOfTheValuesSays(
        field: String, constant: String, expected: String
    ) throws {
        let (fixture, profile) = try Self.person()
        #expect(try Self.all(field, constant, fixture, profile) == expected)
        #expect(try Self.all("attributes.\(field)", constant, fixture, profile) == expected)
    }

    @Test func booleansAreEqualOrNot() throws {
        let (fixture, profile) = try Self.person()
        let table: [(String, Bool)] = [
            ("t = true", true), ("t = false", false), ("t != false", true), ("t != true", false),
            ("t:true", true), ("f = false", true), ("f:true", false), ("f != true", true),
            ("none != true", false), ("s != true", false), ("i = true", false),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
    }

    @Test func starHoldsForWhateverIsThere() throws {
        let (fixture, profile) = try Self.person { $0.attributes["e"] = .list([]) }
        for name in ["s", "u", "i", "n", "t", "f", "w", "l", "e"] {
            #expect(try fixture.matches("\(name):*", profile), "\(name)")
        }
        for filter in ["none:*", "email_address:*", "installations:*", "events.buy.first:*"] {
            #expect(try !fixture.matches(filter, profile), "\(filter)")
        }
        #expect(try fixture.matches("custom_id:*", profile))
    }

    private static let patterns: [(String, Bool)] = [
        ("*", true), ("b*", true), ("bé*", true), ("*é", true), ("*b*", true), ("*bé*", true),
        ("**", true), ("é*", false), ("*b", false), ("*c*", false), ("béx*", false),
        (#"\*b"#, false), ("b", false), (#"b\*"#, false),
    ]

    @Test(arguments: Self.patterns)
    func starsAtTheEndsOfATextStandForAnything(pattern: String, expected: Bool) throws {
        let (fixture, profile) = try Self.person()
        #expect(try fixture.matches("s = \"\(pattern)\"", profile) == expected)
        #expect(try fixture.matches("s != \"\(pattern)\"", profile) == !expected)
        #expect(try !fixture.matches("s:\"\(pattern)\"", profile))
    }

    @Test func starsThatAreEscapedOrOfAnotherComparatorAreStars() throws {
        let (fixture, profile) = try Self.person {
            $0.attributes["s"] = .string("*a*")
            $0.attributes["l"] = .list(["a*", "*"])
        }
        let table: [(String, Bool)] = [
            (#"s = "\*a\*""#, true), (#"s = "\*a*""#, true), (#"s = "a""#, false),
            (#"s:"*a*""#, true), (#"s:"\*a\*""#, true), (#"s <= "*a*""#, true),
            (#"l:"a*""#, true), (#"l:"b*""#, false), (#"l:"*""#, true),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
    }

    @Test(arguments: [
        "abab", "aabaabaaab", "aaaa", "b", "abcabcabd", "éèé",
    ])
    func textIsFoundWhereverItIs(part: String) throws {
        // Borders of the text are what a search without going back may get wrong.
        for value in ["aabaabaaab", "abababab", "abcabcabcabd", "xxéèéèé", "abaaaaba"] {
            let (fixture, profile) = try Self.person { $0.attributes["s"] = .string(value) }
            let expected = value.indices.contains { value[$0...].hasPrefix(part) }
            #expect(try fixture.matches("s = \"*\(part)*\"", profile) == expected)
        }
    }

    @Test func integersAndNumbersAreComparedWithoutRounding() throws {
        let exact: Int64 = 9_007_199_254_740_993
        let (fixture, profile) = try Self.person {
            $0.attributes = [
                "i": .integer(exact), "max": .integer(.max), "min": .integer(.min),
                "n": .number(9_007_199_254_740_992), "big": .number(0x1p63),
                "low": .number(-0x1p63), "third": .number(1.0 / 3), "huge": .number(1e300),
            ]
        }
        let table: [(String, Bool)] = [
            ("i = 9007199254740992.0", false), ("i > 9007199254740992.0", true),
            ("n = 9007199254740993", false), ("n < 9007199254740993", true),
            ("n = 9007199254740992", true), ("max < 9223372036854775808.0", true),
            ("max = 9223372036854775807", true), ("big > 9223372036854775807", true),
            ("low = -9223372036854775808", true), ("min = -9223372036854775808.0", true),
            ("min > -9.3e18", true), ("third = 0.3333333333333333", true),
            ("third > 0", true), ("third < 1", true), ("huge > 9223372036854775807", true),
            ("min < -1e-300", true), ("max > -1e300", true),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
    }

    @Test func fieldsOfTheProfileAreCompared() throws {
        let (fixture, profile) = try Self.person {
            $0.installation = "d1"
            $0.attributes["email_address"] = .string("ann@example.com")
            $0.attributes["language"] = .string("fr")
            $0.subscriptions = ["SMS.news": .unsubscribed, "EMAIL": .subscribed]
        }
        let header = fixture.store.pool.header(profile).pointee
        let table: [(String, Bool)] = [
            ("state = IDENTIFIED", true), ("state != IDENTIFIED", false),
            ("state = ANONYMOUS", false), ("state != ANONYMOUS", true),
            ("custom_id = ann", true), ("custom_id > am", true), ("custom_id = Ann", false),
            ("email_address = \"*@example.com\"", true), ("email_address:ann@example.com", true),
            ("language = fr", true), ("attributes.language != de", true),
            ("region != FR", false), ("NOT region = FR", true),
            ("installations:d1", true), ("installations:d2", false), ("installations:*", true),
            ("subscriptions.EMAIL = SUBSCRIBED", true),
            ("subscriptions.EMAIL != SUBSCRIBED", false),
            ("subscriptions.EMAIL.news = UNSET", true),
            ("subscriptions.SMS.news = UNSUBSCRIBED", true), ("subscriptions.SMS = UNSET", true),
            ("subscriptions.PUSH = UNSET", true), ("subscriptions.PUSH != PENDING", true),
            ("suppressed.EMAIL = false", true), ("suppressed.SMS != true", true),
            ("suppressed.PUSH = true", false),
            ("created_at <= \"-0s\"", true), ("created_at > \"+1s\"", false),
            ("created_at = \"2023-11-14T22:13:20Z\"", true),
            ("updated_at >= \"2023-11-14T22:13:20Z\"", true),
            ("last_seen_at > \"-1s\"", true), ("last_seen_at < \"-1s\"", false),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
        #expect(header.createdAt == TrackFixture.start)
    }

    @Test func anonymousProfileHasNoCustomID() throws {
        let (fixture, profile) = try Self.person {
            $0.customID = ""
            $0.installation = "d1"
        }
        for filter in ["custom_id:*", "custom_id != x", "custom_id < \"~\"", "custom_id = \"*\""] {
            #expect(try !fixture.matches(filter, profile), "\(filter)")
        }
        #expect(try fixture.matches("state = ANONYMOUS NOT custom_id:*", profile))
    }

    @Test func relativeTimeIsTakenFromTheTimeOfTheCall() throws {
        let (fixture, profile) = try Self.person()
        let filter = try CompiledFilter("last_seen_at >= \"-1h\"", .profile)
        let header = fixture.store.pool.header(profile).pointee
        for (after, expected) in [(0, true), (3_600, true), (3_601, false)] {
            #expect(
                fixture.store.matches(
                    filter, header: header, now: fixture.now + Int64(after) * Self.second)
                    == expected)
        }
    }

    @Test func counterIsZeroAndWithoutTimesBeforeTheFirstEvent() throws {
        let (fixture, profile) = try Self.person { person in
            person.events = [PlainEvent(name: "buy", time: TrackFixture.start - 60 * Self.second)]
        }
        let table: [(String, Bool)] = [
            ("events.buy.count = 1", true), ("events.BUY.count >= 1.0", true),
            ("events.buy.first = \"2023-11-14T22:12:20Z\"", true),
            ("events.buy.last < \"-30s\"", true), ("events.buy.last < \"-90s\"", false),
            ("events.buy.last:*", true), ("events.sell.count = 0", true),
            ("events.sell.count < 1", true), ("events.sell.last:*", false),
            ("events.sell.first != \"2023-11-14T22:12:20Z\"", false),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
    }

    @Test func deletedAttributeIsAbsent() throws {
        let (fixture, profile) = try Self.person()
        fixture.now += Self.second
        var spec = IdentifySpec()
        spec.person = "ann"
        spec.patch = [("i", .delete, 0, []), ("l", .delete, 0, [])]
        try fixture.apply(spec.record)
        #expect(try !fixture.matches("i:* OR l:* OR l:x", profile))
        #expect(try fixture.matches("n:* s:* w:*", profile))
        #expect(try !fixture.matches("x", profile), "a removed element is found no more")
    }

    @Test func literalIsFoundInAnyValue() throws {
        let (fixture, profile) = try Self.person()
        let event = PlainEvent(
            label: "web", tags: ["sale"],
            attributes: [
                "a": .object(["b": .object(["c": .string("deep")])]),
                "o": .objects([["n": .integer(7)], ["n": .list(["el"])]]),
            ]
        ).stored(fixture.store.project.names)
        let table: [(String, Bool)] = [
            ("ann", true), ("bé", true), ("\"b*\"", true), ("x", true), ("5", true), ("2.5", true),
            ("6", false), ("true", true), ("\"1970-01-12T13:46:40Z\"", true), ("ANN", false),
            ("s", false), ("NOT q", true),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile) == expected, "\(filter)")
        }
        let eventTable: [(String, Bool)] = [
            ("web", true), ("sale", true), ("deep", true), ("7", true), ("el", true),
            ("purchase", false), ("shallow", false),
        ]
        for (filter, expected) in eventTable {
            #expect(try fixture.matches(filter, profile, event: event) == expected, "\(filter)")
        }
    }

    @Test func withoutAnEventNothingOfItHolds() throws {
        let (fixture, profile) = try Self.person()
        let header = fixture.store.pool.header(profile).pointee
        for text in ["event.a:*", "event.a != 1", "event.label:*", "event.tags:*"] {
            let filter = try CompiledFilter(text, .trigger)
            #expect(!fixture.store.matches(filter, header: header, now: fixture.now), "\(text)")
        }
    }

    @Test func fieldsOfTheEventAreCompared() throws {
        let (fixture, profile) = try Self.person()
        let event = PlainEvent(
            label: "web", tags: ["sale", "b*"],
            attributes: [
                "label": .string("inner"), "n": .number(1.5), "list": .list(["p", "q"]),
                "cart": .object(["total": .integer(8), "shop": .object(["city": .string("L")])]),
                "items": .objects([["sku": .string("a")], ["sku": .string("b"), "n": .integer(2)]]),
            ]
        ).stored(fixture.store.project.names)
        let table: [(String, Bool)] = [
            ("event.label = web", true), ("event.label != web", false), ("event.label:*", true),
            ("event.attributes.label = inner", true), ("event.tags:sale", true),
            ("event.tags:\"b*\"", true), ("event.tags:\"s*\"", false), ("event.tags:*", true),
            ("event.n = 1.5", true), ("event.N > 1", true), ("event.list:p", true),
            ("event.list:r", false), ("event.list = p", false), ("event.none:*", false),
            ("event.cart.total = 8", true), ("event.cart.total.x = 8", false),
            ("event.cart.none != 8", false), ("event.cart:*", true), ("event.cart = x", false),
            ("event.cart.shop.city = L", true), ("event.cart.shop:*", true),
            ("event.items.sku:b", true), ("event.items.sku:c", false),
            ("event.items.sku = a", false), ("event.items.sku != a", false),
            ("event.items.n:2", true), ("event.items.n:*", true), ("event.items:*", true),
            ("event.n.x:*", false),
        ]
        for (filter, expected) in table {
            #expect(try fixture.matches(filter, profile, event: event) == expected, "\(filter)")
        }
        let bare = PlainEvent().stored(fixture.store.project.names)
        #expect(try !fixture.matches("event.label:* OR event.tags:*", profile, event: bare))
        #expect(try !fixture.matches("event.label != x", profile, event: bare))
    }

    @Test func profileIsSeenRightAfterEachEventOfACall() throws {
        let (fixture, profile) = try Self.person { person in
            person.events = [PlainEvent(name: "buy", time: TrackFixture.start - 60 * Self.second)]
        }
        let store = fixture.store
        let buy = UInt16(try #require(withBytes("buy") { store.project.names.find($0) }))
        let view = UInt16(withBytes("view") { store.project.names.add($0) })
        let now = fixture.now + 10 * Self.second
        store.work.pointee.contents.removeAll()
        // Two events `buy` around one of another name and one that another profile stores.
        let times: [Int64] = [-90, -5, -4, -10]
        for (number, time) in times.enumerated() {
            let event = PlainEvent(
                name: number == 1 ? "view" : "buy", attributes: ["k": .integer(Int64(number))])
            var pending = PendingEvent()
            pending.outcome = .stored
            pending.name = number == 1 ? view : buy
            pending.target = number == 2 ? 77 : 0
            pending.effectiveTime = now + time * Self.second
            pending.storedStart = store.work.pointee.contents.count
            event.stored(store.project.names).withUnsafeBytes {
                store.work.pointee.contents.append($0)
            }
            pending.storedEnd = store.work.pointee.contents.count
            store.work.pointee.pending[number] = pending
        }
        let edit = store.changes.pointee.addEdit(profile)
        defer { store.changes.pointee.removeEdits() }
        edit.pointee.seenAt = now
        let call = CallContext(
            firstLSN: fixture.lsn + 1, lsn: fixture.lsn + 4, receivedAt: now, rules: .current)
        func holds(_ text: String, _ number: Int) throws -> Bool {
            store.matches(try CompiledFilter(text, .trigger), edit, event: number, call)
        }
        #expect(try holds("events.buy.count = 2 event.k = 0", 0))
        #expect(try holds("events.buy.first = \"-90s\" events.buy.last = \"-70s\"", 0))
        #expect(try holds("events.view.count = 0 NOT events.view.last:*", 0))
        #expect(try holds("events.buy.count = 2 events.view.count = 1 event.k = 1", 1))
        #expect(try holds("events.view.last = \"-5s\"", 1))
        #expect(try holds("events.buy.count = 3 events.buy.last = \"-10s\" event.k = 3", 3))
        #expect(try holds("last_seen_at = \"-0s\" updated_at = \"-0s\"", 0))
        #expect(try fixture.matches("events.buy.count = 1", profile), "nothing was carried out")
    }
}
