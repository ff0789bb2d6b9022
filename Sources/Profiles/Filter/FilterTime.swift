/// A time as a filter writes it: of the calendar, or as a distance from the time of the call.
struct FilterTime: Equatable, BitwiseCopyable {
    /// Microseconds since 1970, or from the time of the call on.
    var microseconds: Int64
    var isRelative: Bool

    /// 0001-01-01T00:00:00Z and the last microsecond of 9999, in microseconds since 1970.
    private static let earliest: Int64 = -62_135_596_800_000_000
    private static let latest: Int64 = 253_402_300_799_999_999
    /// Longest distance: 10,000 years, which cannot overflow beside any time.
    private static let distanceSecondsMax: Int64 = 10_000 * 366 * 86_400

    /// Reads `2026-01-31T12:00:00Z`, with fractions of a second and offsets as of RFC 3339, or a
    /// sign, a whole number and a unit out of `s m h d w`; `nil`: it is neither.
    ///
    /// Digits beyond the microsecond are cut off, as in values that are stored.
    init?(_ text: [UInt8]) {
        var reader = Reader(bytes: text[...])
        if let sign = reader.takeSign() {
            guard let distance = reader.readDistance(), reader.bytes.isEmpty else { return nil }
            self.init(microseconds: sign * distance * 1_000_000, isRelative: true)
            return
        }
        guard let microseconds = reader.readTime(), reader.bytes.isEmpty,
            Self.earliest ... Self.latest ~= microseconds
        else { return nil }
        self.init(microseconds: microseconds, isRelative: false)
    }

    init(microseconds: Int64, isRelative: Bool) {
        self.microseconds = microseconds
        self.isRelative = isRelative
    }

    /// Microseconds since 1970, of a call at `now`.
    @inline(__always)
    func absolute(_ now: Int64) -> Int64 {
        self.isRelative ? now &+ self.microseconds : self.microseconds
    }

    private struct Reader {
        var bytes: ArraySlice<UInt8>

        mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            guard self.bytes.first == UInt8(ascii: scalar) else { return false }
            self.bytes.removeFirst()
            return true
        }

        mutating func takeSign() -> Int64? {
            if self.take("-") { return -1 }
            return self.take("+") ? 1 : nil
        }

        private mutating func takeDigit() -> Int64? {
            guard let byte = self.bytes.first, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9")
            else { return nil }
            self.bytes.removeFirst()
            return Int64(byte - UInt8(ascii: "0"))
        }

        /// Exactly `count` digits.
        private mutating func readNumber(_ count: Int) -> Int64? {
            var number: Int64 = 0
            for _ in 0 ..< count {
                guard let digit = self.takeDigit() else { return nil }
                number = number * 10 + digit
            }
            return number
        }

        /// In seconds.
        mutating func readDistance() -> Int64? {
            guard var number = self.takeDigit() else { return nil }
            while let digit = self.takeDigit() {
                number = number * 10 + digit
                guard number <= FilterTime.distanceSecondsMax else { return nil }
            }
            let unit: Int64
            if self.take("s") {
                unit = 1
            } else if self.take("m") {
                unit = 60
            } else if self.take("h") {
                unit = 3_600
            } else if self.take("d") {
                unit = 86_400
            } else if self.take("w") {
                unit = 7 * 86_400
            } else {
                return nil
            }
            return number <= FilterTime.distanceSecondsMax / unit ? number * unit : nil
        }

        /// In microseconds since 1970.
        ///
        /// Source: RFC 3339, section 5.6, without leap seconds, which no timestamp has.
        mutating func readTime() -> Int64? {
            guard let year = self.readNumber(4), self.take("-"), let month = self.readNumber(2),
                self.take("-"), let day = self.readNumber(2), self.take("T") || self.take("t"),
                let hour = self.readNumber(2), self.take(":"), let minute = self.readNumber(2),
                self.take(":"), let second = self.readNumber(2), hour < 24, minute < 60,
                second < 60, let days = FilterTime.days(year, month, day),
                let fraction = self.readFraction(), let offset = self.readOffset()
            else { return nil }
            let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset
            return seconds * 1_000_000 + fraction
        }

        /// In microseconds; 1 to 9 digits behind a point, or nothing.
        private mutating func readFraction() -> Int64? {
            guard self.take(".") else { return 0 }
            var (fraction, count): (Int64, Int) = (0, 0)
            while let digit = self.takeDigit() {
                if count < 6 { fraction = fraction * 10 + digit }
                count += 1
            }
            guard 1 ... 9 ~= count else { return nil }
            for _ in count ..< max(count, 6) { fraction *= 10 }
            return fraction
        }

        /// In seconds east of Greenwich.
        private mutating func readOffset() -> Int64? {
            if self.take("Z") || self.take("z") { return 0 }
            guard let sign = self.takeSign(), let hours = self.readNumber(2), self.take(":"),
                let minutes = self.readNumber(2), hours < 24, minutes < 60
            else { return nil }
            return sign * (hours * 3_600 + minutes * 60)
        }
    }

    /// Days from 1970-01-01 to a date of the Gregorian calendar, of the year 1 or later; `nil`: no
    /// such date.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64? {
        guard year >= 1, 1 ... 12 ~= month, day >= 1 else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[Int(month) - 1] else { return nil }
        let years = year - 1
        let before = years * 365 + years / 4 - years / 100 + years / 400
        /// From 0001-01-01 to 1970-01-01.
        let epoch: Int64 = 719_162
        return before + lengths[..<(Int(month) - 1)].reduce(0, +) + day - 1 - epoch
    }
}
