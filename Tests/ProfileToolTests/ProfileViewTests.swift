import ProfileClient
import ProfileTool
import Testing

@Suite struct ProfileViewTests {
    private static let view = ProfileView(now: TimeText.parse("2026-02-01T12:00:00Z")!)

    private func json(_ text: String) throws -> JSONValue { try JSONParser.parse(text.utf8) }

    @Test func profileIsFormattedForPeople() throws {
        let response = try self.json(
            #"""
            {"profile": {"profile_id": "01J", "custom_id": "anna", "state": "STATE_IDENTIFIED",
            "revision": 7, "lsn": 12,
            "installations": [{"installation_id": "phone-1", "platform": "PLATFORM_APP_IOS",
            "attached_at": "2026-01-29T12:00:00Z",
            "last_seen_at": "2026-02-01T11:55:00Z"}],
            "native": {"email_address": "anna@example.org"},
            "attributes": {"plan": {"string": "gold"}, "sizes": {"list": {"items": ["s", "m"]}}},
            "attribute_metadata": {"plan": {"effective_time": "2026-01-29T12:00:00Z",
            "source": {"platform": "PLATFORM_WEB", "name": "shop"}}},
            "subscriptions": {"items": [{"channel": "CHANNEL_EMAIL", "topic": "offers",
            "state": "SUBSCRIPTION_STATE_UNSUBSCRIBED",
            "source": "CONSENT_SOURCE_ONE_CLICK", "effective_time": "2026-02-01T10:00:00Z"}]},
            "event_counters": [{"name": "purchase", "count": 3, "first": "2026-01-29T12:00:00Z",
            "last": "2026-02-01T11:00:00Z"}],
            "created_at": "2026-01-29T12:00:00Z", "updated_at": "2026-02-01T11:00:00Z",
            "last_seen_at": "2026-02-01T11:55:00Z",
            "aliases": [{"profile_id": "01H"}]}}
            """#)
        let events = try self.json(
            #"""
            {"events": [{"name": "purchase", "attributes": {"amount": {"number": 59.9}},
            "effective_time": "2026-02-01T11:00:00Z",
            "source": {"platform": "PLATFORM_API"}}]}
            """#)
        let expected = """
            anna (identified)
              profile  01J, revision 7, lsn 12
              times    created 3 d ago, changed 1 h ago, seen 5 min ago
              aliases  profile:01H

            Devices
              phone-1  app ios  attached 3 d ago, seen 5 min ago

            Attributes
              email_address  anna@example.org
              plan           gold              3 d ago, web shop
              sizes          [s, m]

            Subscriptions
              email/offers  unsubscribed  by one click, 2 h ago

            Counters
              purchase  3  last 1 h ago, first 3 d ago

            Last events
              1 h ago  purchase  amount=59.9 (api)

            """
        #expect(Self.view.text(response, events: events) == expected)
    }

    @Test func emptyAnonymousProfileHasNoSections() throws {
        let text = Self.view.text(
            try self.json(
                #"{"profile": {"profile_id": "01J", "state": "STATE_ANONYMOUS", "revision": 1}}"#),
            events: nil)
        #expect(
            text
                == "no custom ID (anonymous)\n  profile  01J, revision 1, lsn 0\n"
                + "  times    created never, changed never, seen never\n"
        )
    }

    @Test func controlCharactersCannotReachTheTerminal() {
        #expect(TerminalText.safe("a\u{1B}[2Jb\u{202E}c\n") == "a\\u{1b}[2Jb\\u{202e}c\\u{a}")
        #expect(ProfileView.value(.object([.init("string", .string("\u{7}"))])) == "\\u{7}")
    }

    @Test(arguments: [
        ("anna", 4), ("日本", 4), ("ｱ", 1), ("Ａ", 2), ("e\u{301}", 1), ("👍", 2),
        ("👍🏽", 2), ("👩‍👩‍👧‍👦", 2), ("🇩🇪", 2),
        ("❤️", 2), ("❤", 1), ("1️⃣", 2), ("한글", 4),
        ("\u{1112}\u{1161}\u{11AB}", 2), ("a\u{200D}b", 2), ("ท้", 1), ("", 0), ("〜", 2),
        ("\u{3400}\u{20000}", 4),
    ])
    func widthIsThatOfATerminal(text: String, columns: Int) {
        #expect(TextWidth.columns(of: text) == columns)
    }

    @Test func columnsAlignBehindWideCharacters() {
        let table = TerminalText.table(
            [["日本", "a"], ["anna", "b"], ["e\u{301}", "c"]], indent: "")
        #expect(table == "日本  a\nanna  b\ne\u{301}     c\n")
    }

    @Test func cellsAreMadeSafeInTables() {
        #expect(TerminalText.table([["a\u{1B}[2J", "\n"]], indent: "") == "a\\u{1b}[2J  \\u{a}\n")
    }

    @Test(arguments: [0x9B, 0x85, 0x200E, 0x61C, 0x2066, 0x202E, 0x2028, 0xFEFF, 0x200B, 0xAD])
    func charactersThatActOrHideAreShownByNumber(value: UInt32) throws {
        let scalar = try #require(Unicode.Scalar(value))
        #expect(TerminalText.safe("a\(Character(scalar))") == "a\\u{\(String(value, radix: 16))}")
    }

    @Test func timesThatAreNoTimesAreShownAsTheyCame() throws {
        let response = try self.json(
            #"{"profile": {"created_at": "invalid timestamp (seconds=9, nanos=-1)"}}"#)
        let text = Self.view.text(response, events: nil)
        #expect(text.contains("created invalid timestamp (seconds=9, nanos=-1), changed never"))
    }

    @Test func objectsAreShownInside() throws {
        let value = try self.json(
            #"{"objects": {"items": [{"fields": {"sku": {"string": "a"}, "n": {"integer": 2}}}]}}"#)
        #expect(ProfileView.value(value) == "[{sku: a, n: 2}]")
    }

    @Test func failureIsOneLineWithFieldAndRemedy() throws {
        let status = try self.json(#"{"code": 3, "message": "m"}"#)
        #expect(FailureText.line(RPCFailure(status: status)) == "m (INVALID_ARGUMENT)")
        let silent = RPCFailure(withoutResponse: RPCFailure.unavailable, "cannot reach x")
        #expect(FailureText.exitCode(silent) == 3 && FailureText.line(silent).contains("--address"))
        #expect(FailureText.exitCode(RPCFailure(status: status)) == 1)
    }
}
