import ProfileClient
import ProfileTool
import Testing

/// What `profilectl project` shows.
@Suite struct ProjectViewTests {
    private static let now: Int64 = 1_800_000_000_000_000
    private static let view = ProjectView(now: Self.now)

    private static func json(_ text: String) throws -> JSONValue {
        try JSONParser.parse(text.utf8)
    }

    private static func time(_ secondsFromNow: Int64) -> String {
        TimeText.text(microseconds: self.now + secondsFromNow * 1_000_000)
    }

    @Test func rowHasAColumnForEachHeading() throws {
        let row = Self.view.row(
            try Self.json(
                #"{"project":"shop","created_at":"\#(Self.time(-7_200))","options":{"#
                    + #""merge_policy":"MERGE_POLICY_LATEST_WINS","double_opt_in":"#
                    + #"["CHANNEL_EMAIL","CHANNEL_SMS"],"event_retention_days":30,"#
                    + #""events_per_profile_max":500,"reset_consent_on_address_change":true}}"#))
        #expect(
            row == [
                "shop", "live", "2 h ago", "30 d, 500",
                "latest_wins double_opt_in=email,sms reset_consent_on_address_change",
            ])
        #expect(row.count == ProjectView.head.count)
    }

    @Test func stateTellsWhenTheDataGoes() throws {
        func state(_ due: Int64) throws -> String {
            Self.view.row(try Self.json(#"{"delete_due":"\#(Self.time(due))"}"#))[1]
        }
        #expect(try state(7_200) == "deleted, goes in 2 h")
        #expect(try state(-1) == "deleted")
        #expect(Self.view.row(try Self.json("{}"))[1] == "live")
    }

    @Test func limitsAreSortedAndShownAsNumbers() throws {
        let text = Self.view.text(
            try Self.json(#"{"project":"p","revision":3,"limits":{"b_max":20,"a_max":1}}"#))
        #expect(text.hasSuffix("Limits\n  a_max  1\n  b_max  20\n"))
        #expect(text.contains("revision  3\n"))
    }

    @Test func statisticsShowWhatIsAbsentAsZero() throws {
        let text = ProjectView.statistics(try Self.json(#"{"profiles":12,"received":7}"#))
        #expect(text.contains("profiles    12\n") && text.contains("received   7\n"))
        #expect(text.contains("rejected   0\n"))
    }
}
