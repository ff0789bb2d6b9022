import ProfileClient
import Testing

@testable import ProfileTool

/// The lines of `profilectl watch` and `profilectl trigger follow`.
@Suite struct ChangeViewTests {
    private static let time = #""received_at":"2026-01-31T12:00:00.05Z""#

    private static func line(_ change: String) throws -> String {
        let text = ChangeView.line(lsn: .number("42"), try JSONParser.parse("{\(change)}".utf8))
        let head = "42       2026-01-31T12:00:00.050Z  "
        #expect(text.hasPrefix(head) && text.hasSuffix("\n"))
        // Cells are separated by two blanks at least, and have no two of them inside.
        var words: [String] = []
        for word in text.dropFirst(head.count).dropLast().split(
            separator: "  ", omittingEmptySubsequences: true)
        {
            words.append(String(word.drop { $0 == " " }))
        }
        return words.joined(separator: "|")
    }

    @Test(arguments: [
        (
            #""kind":"CHANGE_KIND_PROFILE_CREATED","profile_id":"p1","installation_id":"phone""#,
            "profile_created|profile:p1|device:phone"
        ),
        (#""kind":"CHANGE_KIND_PROFILE_ERASED","profile_id":"p1""#, "profile_erased|profile:p1"),
        (
            #""kind":"CHANGE_KIND_PROFILES_MERGED","custom_id":"anna","other_profile_id":"p2""#,
            "profiles_merged|anna|with profile:p2"
        ),
        (
            #""kind":"CHANGE_KIND_INSTALLATION_MOVED","custom_id":"anna","installation_id":"d","#
                + #""other_profile_id":"p2""#,
            "installation_moved|anna|device:d from profile:p2"
        ),
        (
            #""kind":"CHANGE_KIND_ATTRIBUTES_CHANGED","custom_id":"anna","attributes":{"#
                + #""set":{"plan":{"string":"gold"},"age":{"integer":41}},"deleted":["old"],"#
                + #""native":{"language":"fr"}}"#,
            "attributes_changed|anna|language=fr plan=gold age=41 -old"
        ),
        (
            #""kind":"CHANGE_KIND_EVENT_STORED","custom_id":"anna","historical":true,"event":{"#
                + #""name":"buy","label":"web","tags":["sale"],"attributes":{"n":{"integer":1}},"#
                + #""effective_time":"2026-01-31T11:00:00Z","received_at":"2026-01-31T12:00:00Z"}"#,
            #"event_stored|anna|buy "web" n=1 #sale (at 2026-01-31T11:00:00Z) (historical)"#
        ),
        (
            #""kind":"CHANGE_KIND_SUBSCRIPTION_CHANGED","custom_id":"anna","consent_entries":[{"#
                + #""channel":"CHANNEL_EMAIL","topic":"news","source":"CONSENT_SOURCE_USER","#
                + #""before":"SUBSCRIPTION_STATE_UNSET","after":"SUBSCRIPTION_STATE_SUBSCRIBED"}]"#,
            "subscription_changed|anna|email/news unset->subscribed by user"
        ),
        (
            #""kind":"CHANGE_KIND_SUPPRESSION_CHANGED","custom_id":"anna","channel":"#
                + #""CHANNEL_EMAIL","suppression_reasons":["SUPPRESSION_REASON_HARD_BOUNCE"]"#,
            "suppression_changed|anna|email suppressed: hard bounce"
        ),
        (
            #""kind":"CHANGE_KIND_SUPPRESSION_CHANGED","custom_id":"anna","channel":"#
                + #""CHANNEL_SMS""#,
            "suppression_changed|anna|sms no longer suppressed"
        ),
        (#""kind":77,"custom_id":"anna""#, "kind 77|anna"),
    ])
    func lineSaysWhoAndWhat(change: String, shown: String) throws {
        #expect(try Self.line("\(Self.time),\(change)") == shown)
    }

    @Test func lineIsOneLineWhateverTheTextsAre() throws {
        let line = try Self.line(
            #"\#(Self.time),"kind":"CHANGE_KIND_EVENT_STORED","custom_id":"a\nb\u001b[2J","#
                + #""event":{"name":"x","label":"\r\n"}"#)
        #expect(!line.contains("\n") && !line.contains("\u{1B}") && line.contains("a\\u{a}b"))
    }

    @Test func firingShowsItsEventAndALaterAttempt() throws {
        let firing =
            #"{"firing_id":"f1","custom_id":"anna","delivery_attempt":2,"event":{"name":"cart","#
            + #""received_at":"2026-01-31T12:00:00Z"}}"#
        let line = ChangeView.firing(try JSONParser.parse(firing.utf8))
        #expect(line.hasPrefix("f1  2026-01-31T12:00:00.000Z  anna "))
        #expect(line.hasSuffix("cart  (attempt 2)\n"))
    }
}

/// The flags and the table of `profilectl trigger`.
@Suite struct TriggerViewTests {
    @Test func rowHasAColumnForEachHeading() throws {
        let now: Int64 = 1_800_000_000_000_000
        let created = TimeText.text(microseconds: now - 7_200_000_000)
        let row = TriggerView(now: now).row(
            try JSONParser.parse(
                (#"{"trigger_id":"t1","event_name":"cart","delay_seconds":1800,"cap":2,"#
                    + #""cap_period_seconds":604800,"unless_event_name":"buy","guard_channel":"#
                    + #""CHANNEL_EMAIL","guard_topic":"offers","ack_deadline_seconds":61,"#
                    + #""pending":3,"lost":"9007199254740993","created_at":"\#(created)","#
                    + #""display_name":"Cart","filter":"event.n > 1"}"#).utf8))
        #expect(
            row == [
                "t1", "cart", "30m", "buy", "email/offers", "2/7d", "61s", "3", "9007199254740993",
                "2 h ago", "Cart", "event.n > 1",
            ])
        #expect(row.count == TriggerView.head.count)
        let empty = TriggerView(now: now).row(.object([]))
        #expect(empty == ["", "", "-", "-", "-", "-", "-", "0", "0", "-", "-", ""])
    }

    @Test(arguments: [("1800", "1800"), ("30m", "1800"), ("1d12h", "129600"), ("0", "0")])
    func spanIsSecondsOrUnits(text: String, seconds: String) {
        #expect(TriggerText.seconds(text) == seconds)
    }

    @Test(arguments: ["", "2", "2/", "/7d", "0/7d", "-1/7d", "2/7d/1", "2/soon", "4294967296/7d"])
    func wrongCapsAreUsageErrors(text: String) {
        #expect(throws: UsageError.self) { try TriggerText.cap(text) }
    }

    @Test func capIsANumberInASpan() throws {
        let cap = try TriggerText.cap("2/7d")
        #expect(cap.count == "2" && cap.seconds == "604800")
    }

    @Test func settledFiringsAreRememberedWithinABound() {
        var settled = SettledFirings()
        for number in 0 ..< 10_001 { settled.insert("f\(number)") }
        #expect(!settled.contains("f0") && settled.contains("f1") && settled.contains("f10000"))
        settled.insert("f10000")
        #expect(settled.contains("f1"))
    }
}
