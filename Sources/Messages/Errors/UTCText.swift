/// Times as they stand in the metadata of an error.
enum UTCText {
    /// `YYYY-MM-DDThh:mm:ssZ` of a time in microseconds since 1970, rounded up to the second: a
    /// time to wait for is never told too early.
    ///
    /// Source: RFC 3339, section 5.6.
    static func text(_ microseconds: Int64) -> String {
        // Years of four digits.
        let microseconds = min(max(microseconds, 0), TimeRules.timestampMax - 999_999)
        let (whole, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        let seconds = rest > 0 ? whole + 1 : whole
        let (year, month, day) = Self.date(daysSince1970: seconds / 86_400)
        let time = seconds % 86_400
        return "\(Self.digits(year, 4))-\(Self.digits(month, 2))-\(Self.digits(day, 2))T"
            + "\(Self.digits(time / 3_600, 2)):\(Self.digits(time / 60 % 60, 2)):"
            + "\(Self.digits(time % 60, 2))Z"
    }

    /// The date of a day, not before 1970, in the Gregorian calendar.
    private static func date(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        var left = daysSince1970
        var year: Int64 = 1_970
        while left >= Self.days(inYear: year) {
            left -= Self.days(inYear: year)
            year += 1
        }
        var lengths: [Int64] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        if Self.days(inYear: year) == 366 { lengths[1] = 29 }
        var month = 0
        while left >= lengths[month] {
            left -= lengths[month]
            month += 1
        }
        return (year, Int64(month + 1), left + 1)
    }

    private static func days(inYear year: Int64) -> Int64 {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365
    }

    private static func digits(_ value: Int64, _ count: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}
