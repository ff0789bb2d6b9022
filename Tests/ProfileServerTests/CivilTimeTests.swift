import Bytes
import Foundation
import ProfileServer
import Testing

@Suite struct CivilTimeTests {
    private func text(_ microseconds: Int64) -> String {
        var line = ByteBuffer()
        CivilTime(microsecondsSinceEpoch: microseconds).appendRFC3339(to: &line)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (.max, "9999-12-31T23:59:59.999999Z"), (.min, "0000-01-01T00:00:00.000000Z"),
    ])
    func edgesOfTheCalendarAreFormattedCorrectly(microseconds: Int64, expected: String) {
        #expect(self.text(microseconds) == expected)
    }

    @Test func daysOfFourHundredYearsAgreeWithFoundation() throws {
        var calendar = Foundation.Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        for day in stride(from: Int64(-100_000), to: 100_000, by: 37) {
            let ours = CivilTime(microsecondsSinceEpoch: day * 86_400_000_000 + 1)
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            let theirs = calendar.dateComponents([.year, .month, .day, .weekday], from: date)
            guard date.timeIntervalSince1970 > -12_219_292_800 else { continue }
            #expect(
                [ours.year, ours.month, ours.day, ours.weekday + 1]
                    == [theirs.year, theirs.month, theirs.day, theirs.weekday])
        }
    }
}
