/// Bounds of triggers and of what waits for them.
///
/// The numbers of one project are properties, so that tests reach them with a few firings; only
/// tests change them.
package struct TriggerLimits: Sendable {
    /// Triggers of one project. Source: docs/rules.md, section 10.
    package static let triggersPerProject = 100
    /// Largest cap: an owner keeps as many times.
    package static let capMax: UInt32 = 100
    /// Longest period of a cap, in seconds: a leap year, for what happens once a year.
    package static let capPeriodSecondsMax: UInt64 = 366 * 86_400
    /// Longest delay, in seconds: 30 days.
    package static let delaySecondsMax: UInt64 = 30 * 86_400
    /// Times to acknowledge a delivery that can be asked for, in seconds.
    package static let ackDeadlineSeconds: ClosedRange<UInt32> = 10 ... 3_600
    /// What 0 means.
    package static let ackDeadlineSecondsDefault: UInt32 = 60
    /// Longest filter in a record, in bytes: 2,000 scalars.
    package static let filterBytesMax = 2_000 * 4
    /// Firings that one record settles: those that one stream may have unacknowledged.
    package static let settlementsPerRecord = 10_000

    /// Firings that one tick makes due, histories that it shortens, and remains of deleted triggers
    /// that it frees, each: about 5 ms.
    static let perTick = 16_384
    /// Of them, in a row of one trigger: the next of its kind is then that which is due first.
    static let perTurn = 256
    /// Times that no cap looks at any more stay up to this much longer, in microseconds: a tick for
    /// each of them would keep an idle log busy.
    static let forgetInterval: Int64 = 60 * 1_000_000

    /// Firings of one project that wait to be acknowledged.
    package var pendingFirings = 100_000
    /// Their bytes: 64 MiB.
    package var pendingBytes = 64 << 20
    /// Firings of one project whose delay is not over.
    package var waitingFirings = 1_000_000
    /// Their bytes: 256 MiB.
    package var waitingBytes = 256 << 20

    package init() {}
}
