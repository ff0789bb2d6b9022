// Calendar arithmetic for the two time formats that the server writes. Foundation would need a
// locale, a calendar and allocations; the proleptic Gregorian calendar in UTC takes ten lines.

import Bytes

/// A moment in UTC, broken into calendar fields.
package struct CivilTime: Equatable, Sendable {
    /// 0...9999.
    package let year: Int
    /// 1...12.
    package let month: Int
    /// 1...31.
    package let day: Int
    /// 0 is Sunday.
    package let weekday: Int
    /// Since midnight, 0..<86,400.
    package let secondOfDay: Int
    /// 0..<1,000,000.
    package let microsecond: Int

    /// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: RFC 3339 has four-digit years only.
    private static let microsecondsMin: Int64 = -62_167_219_200 * 1_000_000
    private static let microsecondsMax: Int64 = 253_402_300_800 * 1_000_000 - 1
    /// From 0000-03-01, where a leap day is the last day of its year, to 1970-01-01.
    private static let daysBeforeEpoch = 719_468
    /// Days in 400 years, the period of the calendar.
    private static let eraDays = 146_097

    /// Converts a time to calendar fields; times outside the years 0...9999 are clamped.
    ///
    /// - Parameter microseconds: Since 1970-01-01T00:00:00Z.
    package init(microsecondsSinceEpoch microseconds: Int64) {
        let clamped = Int(min(max(microseconds, Self.microsecondsMin), Self.microsecondsMax))
        let (seconds, microsecond) = Self.floorDivide(clamped, by: 1_000_000)
        let (days, secondOfDay) = Self.floorDivide(seconds, by: 86_400)
        let (era, dayOfEra) = Self.floorDivide(days + Self.daysBeforeEpoch, by: Self.eraDays)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        self.day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        self.month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        self.year = era * 400 + yearOfEra + (self.month <= 2 ? 1 : 0)
        // 1970-01-01 was a Thursday.
        self.weekday = Self.floorDivide(days + 4, by: 7).remainder
        self.secondOfDay = secondOfDay
        self.microsecond = microsecond
    }

    /// Appends it as in RFC 3339, always 27 bytes: `2026-02-28T23:59:59.000001Z`.
    package func appendRFC3339(to line: inout ByteBuffer) {
        Self.append(self.year, digits: 4, to: &line)
        line.append("-")
        Self.append(self.month, digits: 2, to: &line)
        line.append("-")
        Self.append(self.day, digits: 2, to: &line)
        line.append("T")
        self.appendTimeOfDay(to: &line)
        line.append(".")
        Self.append(self.microsecond, digits: 6, to: &line)
        line.append("Z")
    }

    /// Appends it in the format of HTTP's `Date`, always 29 bytes: `Sat, 28 Feb 2026 23:59:59 GMT`.
    ///
    /// - Source: RFC 9110, section 5.6.7.
    package func appendHTTPDate(to line: inout ByteBuffer) {
        let weekdays: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months: [StaticString] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        line.append(weekdays[self.weekday])
        line.append(", ")
        Self.append(self.day, digits: 2, to: &line)
        line.append(" ")
        line.append(months[self.month - 1])
        line.append(" ")
        Self.append(self.year, digits: 4, to: &line)
        line.append(" ")
        self.appendTimeOfDay(to: &line)
        line.append(" GMT")
    }

    private func appendTimeOfDay(to line: inout ByteBuffer) {
        Self.append(self.secondOfDay / 3_600, digits: 2, to: &line)
        line.append(":")
        Self.append(self.secondOfDay / 60 % 60, digits: 2, to: &line)
        line.append(":")
        Self.append(self.secondOfDay % 60, digits: 2, to: &line)
    }

    private static func append(_ value: Int, digits: Int, to line: inout ByteBuffer) {
        var divisor = 1
        for _ in 1 ..< digits { divisor *= 10 }
        while divisor > 0 {
            line.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }

    /// Division that rounds down, so that times before 1970 are converted correctly.
    private static func floorDivide(_ value: Int, by divisor: Int) -> (
        quotient: Int, remainder: Int
    ) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
