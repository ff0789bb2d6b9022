import ProfileClient
import Testing

@Suite struct TimeTextTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799_000_000),
            ("2026-11-25T06:39:24.745053Z", 1_795_588_764_745_053),
            ("1969-12-31T23:59:59.5Z", -500_000), ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ] as [(String, Int64)])
    func timesRoundTrip(text: String, microseconds: Int64) {
        #expect(TimeText.text(microseconds: microseconds) == text)
        #expect(TimeText.parse(text) == microseconds)
    }

    @Test func offsetsAndDatesAreParsed() {
        #expect(
            TimeText.parse("2026-01-31T14:00:00+02:00") == TimeText.parse("2026-01-31T12:00:00Z"))
        #expect(
            TimeText.parse("2026-01-31T06:30:00-05:30") == TimeText.parse("2026-01-31T12:00:00Z"))
        #expect(TimeText.parse("2026-01-31") == TimeText.parse("2026-01-31T00:00:00Z"))
    }

    @Test(arguments: [
        "", "noon", "2026-13-01", "2026-02-29", "2026-01-31T24:00:00Z", "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.Z", "2026-1-31",
        "2026-01-31T12:00:00+2", "2026-01-31T12:00:00Zx", "+026-01-31",
    ])
    func invalidTimeIsRejected(text: String) {
        #expect(TimeText.parse(text) == nil)
    }

    @Test func spansAddUp() {
        #expect(TimeText.span("90s") == 90_000_000)
        #expect(TimeText.span("1d12h") == 129_600_000_000)
        #expect(TimeText.span("1w") == 604_800_000_000)
        for text in ["", "3", "h", "3x", "-3h", "99999999999999999999d"] {
            #expect(TimeText.span(text) == nil, "\(text)")
        }
    }

    @Test(
        arguments: [
            (2, "just now"), (59, "59 s ago"), (60, "1 min ago"), (7_200, "2 h ago"),
            (3 * 86_400, "3 d ago"), (800 * 86_400, "2 y ago"),
            (-300, "in 5 min"),
        ] as [(Int64, String)])
    func agesAreFormattedForPeople(seconds: Int64, text: String) {
        #expect(TimeText.age(of: -seconds * 1_000_000, now: 0) == text)
    }
}
