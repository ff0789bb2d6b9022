import Testing

@testable import Profiles

/// When an Identify or a change of a subscription took place.
@Suite struct EffectiveTimeTests {
    private static let earliest = Store.earliestTime
    /// 2026-01-01T00:00:00Z.
    private static let now: Int64 = 1_767_225_600_000_000

    @Test(
        arguments: [
            (nil, nil, now),
            (nil, now + 5, now),
            (now - 3, nil, now - 3),
            (now + 3, nil, now),
            (now + 3, now + 2, now),
            (now + 3, now + 5, now - 2),
            (earliest, now, earliest),
            (earliest, now + 1, earliest),
        ] as [(Int64?, Int64?, Int64)])
    func isNeverAheadAndNeverBefore1971(occurredAt: Int64?, sentAt: Int64?, time: Int64) {
        #expect(
            Store.effectiveTime(occurredAt: occurredAt, sentAt: sentAt, receivedAt: Self.now)
                == time)
    }

    /// Those of a record that was damaged behind its checksum.
    @Test(arguments: [(.min, .max), (-1, .max), (.min, 0), (0, .max)] as [(Int64, Int64)])
    func timesFurtherApartThanTheirTypeHoldsAreTheEarliest(occurredAt: Int64, sentAt: Int64) {
        #expect(
            Store.effectiveTime(occurredAt: occurredAt, sentAt: sentAt, receivedAt: Self.now)
                == Self.earliest)
    }
}
