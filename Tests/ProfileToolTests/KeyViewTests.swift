import ProfileClient
import ProfileTool
import Testing

/// The rows of `profilectl key list`.
@Suite struct KeyViewTests {
    private static let now: Int64 = 1_800_000_000_000_000

    private static func row(_ key: String) throws -> [String] {
        KeyView(now: self.now).row(try JSONParser.parse(key.utf8))
    }

    private static func time(_ secondsFromNow: Int64) -> String {
        TimeText.text(microseconds: self.now + secondsFromNow * 1_000_000)
    }

    @Test func rowHasAColumnForEachHeading() throws {
        let row = try Self.row(
            #"{"key_id":"abc","scopes":["SCOPE_READ","SCOPE_WRITE"],"display_name":"shop","#
                + #""created_at":"\#(Self.time(-7_200))","expires_at":"\#(Self.time(86_400))","#
                + #""last_used_at":"\#(Self.time(-120))","updates_per_second_max":5,"#
                + #""concurrent_calls_max":2}"#)
        #expect(
            row == [
                "abc", "live", "read,write", "2 h ago", "in 1 d", "2 min ago", "5/s, 2 calls",
                "shop",
            ])
        #expect(row.count == KeyView.head.count)
    }

    /// A use is known by the beginning of its minute.
    @Test(arguments: [
        (created: Int64(-5), used: Int64(-5), shown: "this minute"), (-10, -59, "this minute"),
        (-70, -70, "1 min ago"), (-110, -130, "1 min ago"), (-7_200, -3_700, "1 h ago"),
    ])
    func useIsNeverBeforeTheCreation(created: Int64, used: Int64, shown: String) throws {
        let row = try Self.row(
            #"{"key_id":"a","created_at":"\#(Self.time(created))","#
                + #""last_used_at":"\#(Self.time(used))"}"#)
        #expect(row[5] == shown)
    }

    @Test func stateIsThatOfTheKeyNow() throws {
        #expect(try Self.row(#"{"key_id":"a"}"#) == ["a", "live", "", "-", "never", "-", "-", ""])
        let expired = #"{"key_id":"a","expires_at":"\#(Self.time(0))"}"#
        #expect(try Self.row(expired)[1] == "expired")
        #expect(try Self.row(#"{"key_id":"a","revoked":true,"operator":true}"#)[1] == "revoked")
        #expect(
            try Self.row(#"{"operator":true,"scopes":["SCOPE_READ"]}"#)[2] == "operator")
    }
}
