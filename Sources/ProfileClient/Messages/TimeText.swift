/// Parses and formats RFC 3339 times and short durations such as `3h`, in microseconds.
package enum TimeText {
    /// Days from 0000-03-01, where a leap day is the last day of its year, to 1970-01-01.
    private static let daysBeforeEpoch: Int64 = 719_468
    /// Days in 400 years, the period of the calendar.
    private static let eraDays: Int64 = 146_097

    /// Formats `2026-01-31T12:00:00.5Z`; a fraction of zero is omitted. Years 0 to 9999.
    package static func text(microseconds: Int64) -> String {
        let (seconds, fraction) = self.floorDivide(microseconds, by: 1_000_000)
        let (days, secondOfDay) = self.floorDivide(seconds, by: 86_400)
        let (year, month, day) = self.civil(days)
        let time =
            "\(self.pad(secondOfDay / 3_600, 2)):\(self.pad(secondOfDay / 60 % 60, 2)):"
            + "\(self.pad(secondOfDay % 60, 2))"
        var tail = ""
        if fraction > 0 {
            tail = "." + self.pad(fraction, 6)
            while tail.hasSuffix("0") { tail.removeLast() }
        }
        return "\(self.pad(year, 4))-\(self.pad(month, 2))-\(self.pad(day, 2))T\(time)\(tail)Z"
    }

    /// Seconds of `google.protobuf.Timestamp`: from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
    private static let timestampSeconds: ClosedRange<Int64> = -62_135_596_800 ... 253_402_300_799

    /// Formats a received `google.protobuf.Timestamp`, which may be outside of its range.
    package static func text(seconds: Int64, nanoseconds: Int64) -> String {
        guard self.timestampSeconds.contains(seconds), (0 ..< 1_000_000_000).contains(nanoseconds)
        else { return "invalid timestamp (seconds=\(seconds), nanos=\(nanoseconds))" }
        return self.text(microseconds: seconds * 1_000_000 + nanoseconds / 1_000)
    }

    /// Parses a time with `Z` or an offset; a date alone means midnight UTC.
    package static func parse(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ start: Int, _ count: Int) -> Int64? {
            guard start + count <= bytes.count,
                bytes[start ..< start + count].allSatisfy({ $0 >= 0x30 && $0 <= 0x39 })
            else { return nil }
            return Int64(String(decoding: bytes[start ..< start + count], as: UTF8.self))
        }
        func has(_ character: Unicode.Scalar, _ offset: Int) -> Bool {
            offset < bytes.count && bytes[offset] == UInt8(ascii: character)
        }
        guard let year = number(0, 4), has("-", 4), let month = number(5, 2), has("-", 7),
            let day = number(8, 2),
            (1 ... 12).contains(month), day >= 1, day <= self.daysIn(month, year)
        else { return nil }
        let midnight = self.days(year, month, day) * 86_400 * 1_000_000
        if bytes.count == 10 { return midnight }
        guard has("T", 10) || has("t", 10) || has(" ", 10), let hour = number(11, 2),
            has(":", 13),
            let minute = number(14, 2), has(":", 16), let second = number(17, 2), hour < 24,
            minute < 60, second < 60
        else { return nil }
        var offset = 19
        var fraction: Int64 = 0
        if has(".", offset) {
            offset += 1
            var scale: Int64 = 100_000
            let start = offset
            while let digit = number(offset, 1) {
                fraction += digit * scale
                scale /= 10
                offset += 1
            }
            guard offset > start else { return nil }
        }
        guard let zone = self.zone(bytes[offset...]) else { return nil }
        return midnight + (hour * 3_600 + minute * 60 + second - zone) * 1_000_000 + fraction
    }

    /// Longest span, in seconds: 100 years of 365.25 days.
    private static let spanSecondsMax: Int64 = 3_155_760_000

    /// Parses `90s`, `5m`, `3h`, `2d`, `1w` or a combination (`1d12h`); at most 100 years in all.
    package static func span(_ text: String) -> Int64? {
        var total: Int64 = 0
        var digits = ""
        for character in text {
            if character.isASCII, character.isNumber {
                digits.append(character)
                continue
            }
            guard
                let unit = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800][
                    String(character)] as Int64?,
                let count = Int64(digits), count <= (self.spanSecondsMax - total) / unit
            else { return nil }
            total += count * unit
            digits = ""
        }
        return digits.isEmpty && !text.isEmpty ? total * 1_000_000 : nil
    }

    /// A relative time for people: `just now`, `5 min ago`, `3 h ago`, `12 d ago`, `3 y ago`, or
    /// `in 5 min` for the future.
    package static func age(of microseconds: Int64, now: Int64) -> String {
        let (difference, overflows) = now.subtractingReportingOverflow(microseconds)
        let seconds = (overflows ? (now < 0 ? -Int64.max : .max) : difference) / 1_000_000
        let span = abs(seconds)
        let text: String
        switch span {
        case 0 ..< 5: return "just now"
        case 5 ..< 60: text = "\(span) s"
        case 60 ..< 3_600: text = "\(span / 60) min"
        case 3_600 ..< 86_400: text = "\(span / 3_600) h"
        case 86_400 ..< 730 * 86_400: text = "\(span / 86_400) d"
        default: text = "\(span / (365 * 86_400)) y"
        }
        return seconds > 0 ? "\(text) ago" : "in \(text)"
    }

    /// Quotient and remainder of a division that rounds down; the remainder is never negative.
    package static func floorDivide(_ value: Int64, by divisor: Int64) -> (
        quotient: Int64, remainder: Int64
    ) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    private static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// Parses `Z`, `+02:00` or `-05:30` into seconds east of UTC.
    private static func zone(_ bytes: ArraySlice<UInt8>) -> Int64? {
        let text = Array(bytes)
        if text == [UInt8(ascii: "Z")] || text == [UInt8(ascii: "z")] { return 0 }
        guard text.count == 6, text[0] == UInt8(ascii: "+") || text[0] == UInt8(ascii: "-"),
            text[3] == UInt8(ascii: ":"),
            [1, 2, 4, 5].allSatisfy({ (0x30 ... 0x39).contains(text[$0]) })
        else { return nil }
        let digits = text.map { Int64($0) - 0x30 }
        let (hours, minutes) = (digits[1] * 10 + digits[2], digits[4] * 10 + digits[5])
        guard hours < 24, minutes < 60 else { return nil }
        return (text[0] == UInt8(ascii: "-") ? -1 : 1) * (hours * 3_600 + minutes * 60)
    }

    private static func daysIn(_ month: Int64, _ year: Int64) -> Int64 {
        let next = month == 12 ? (year + 1, Int64(1)) : (year, month + 1)
        return self.days(next.0, next.1, 1) - self.days(year, month, 1)
    }

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = self.floorDivide(shifted, by: 400)
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * self.eraDays + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
            - self.daysBeforeEpoch
    }

    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = self.floorDivide(days + self.daysBeforeEpoch, by: self.eraDays)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (
            era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month,
            dayOfYear - (153 * shifted + 2) / 5 + 1
        )
    }
}
