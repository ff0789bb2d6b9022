import Testing

@testable import Messages

@Suite struct UTCTextTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"), (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] as [(Int64, String)])
    func wholeSecondsAreTheirDate(seconds: Int64, text: String) {
        #expect(UTCText.text(seconds * 1_000_000) == text)
    }

    @Test func partOfASecondIsRoundedUp() {
        #expect(UTCText.text(1) == "1970-01-01T00:00:01Z")
        #expect(UTCText.text(1_709_251_199_000_001) == "2024-03-01T00:00:00Z")
    }
}
