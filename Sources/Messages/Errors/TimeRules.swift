import CMessages

/// Times of the contract, kept to the microsecond: those of calls and events are of the years 1971
/// to 9999, values of kind `time` of the years 1 to 9999, since people are born before 1971.
package enum TimeRules {
    /// 1971-01-01T00:00:00Z, in seconds since 1970.
    static let secondsMin: Int64 = 31_536_000
    /// 0001-01-01T00:00:00Z, the first second of a `Timestamp`.
    static let valueSecondsMin: Int64 = -62_135_596_800
    /// 9999-12-31T23:59:59Z.
    static let secondsMax: Int64 = 253_402_300_799

    /// Microseconds since 1970; `nil` if it is not a time that is allowed.
    ///
    /// - Parameter secondsMin: `secondsMin`, or `valueSecondsMin` for a value.
    static func microseconds(
        _ time: Google__Protobuf__Timestamp, from secondsMin: Int64 = Self.secondsMin
    ) -> Int64? {
        // Nanoseconds count forward also before 1970.
        guard time.seconds >= secondsMin, time.seconds <= Self.secondsMax, time.nanos >= 0,
            time.nanos <= 999_999_999
        else { return nil }
        return time.seconds * 1_000_000 + Int64(time.nanos) / 1_000
    }

    /// 0001-01-01T00:00:00Z and the last microsecond of 9999, in microseconds since 1970: what a
    /// `google.protobuf.Timestamp` may hold.
    static let timestampMin: Int64 = -62_135_596_800_000_000
    static let timestampMax: Int64 = 253_402_300_799_999_999

    /// Microseconds since 1970 as a timestamp has them: nanoseconds are never negative, and a time
    /// that no timestamp may hold is the nearest that one may. Clients reject illegal timestamps
    /// together with the response that they are in.
    static func parts(_ microseconds: Int64) -> (seconds: Int64, nanoseconds: Int32) {
        let legal = min(max(microseconds, Self.timestampMin), Self.timestampMax)
        let (seconds, rest) = legal.quotientAndRemainder(dividingBy: 1_000_000)
        return (rest < 0 ? seconds - 1 : seconds, Int32(rest < 0 ? rest + 1_000_000 : rest) * 1_000)
    }

    /// Seconds in microseconds; more than 30,000 years count as so many, so that adding the result
    /// to a time cannot overflow.
    package static func microseconds(ofSeconds seconds: UInt64) -> Int64 {
        Int64(min(seconds, 1 << 40)) * 1_000_000
    }

    static let allowed = "not a time between the years 1971 and 9999"
    static let valueAllowed = "not a time between the years 1 and 9999"

    /// The effective time of an event, by the rule of section 1, before the windows are applied.
    static func effective(occurredAt: Int64?, sentAt: Int64?, receivedAt: Int64) -> Int64 {
        guard let occurredAt else { return receivedAt }
        guard let sentAt, sentAt >= occurredAt else { return occurredAt }
        return receivedAt - (sentAt - occurredAt)
    }
}
