import Testing

@testable import Profiles

/// When an Identify or a change of a subscription took place.
@Suite struct EffectiveTimeTests {
    private static let earliest = Store.earliestTime

    @Test(
        arguments: [
            (nil, nil, 5_000, 5_000),
            (3_000, nil, 5_000, 3_000),
            (7_000, nil, 5_000, 5_000),
            (7_000, 6_000, 5_000, 5_000),
            (7_000, 8_000, earliest + 5_000, earliest + 4_000),
            (7_000, 9_000, earliest + 1_000, earliest),
        ] as [(Int64?, Int64?, Int64, Int64)])
    func isNeverAheadAndNeverBefore1971(
        occurredAt: Int64?, sentAt: Int64?, receivedAt: Int64, time: Int64
    ) {
        #expect(
            Store.effectiveTime(occurredAt: occurredAt, sentAt: sentAt, receivedAt: receivedAt)
                == time)
    }

    /// Those of a record that was damaged behind its checksum.
    @Test(
        arguments: [
            (.min, .max, 0), (-1, .max, 0), (0, .max, .min), (.min, 0, 0), (0, .max, -2),
        ] as [(Int64, Int64, Int64)])
    func timesFurtherApartThanTheirTypeHoldsAreTheEarliest(
        occurredAt: Int64, sentAt: Int64, receivedAt: Int64
    ) {
        #expect(
            Store.effectiveTime(occurredAt: occurredAt, sentAt: sentAt, receivedAt: receivedAt)
                == Self.earliest)
    }
}
