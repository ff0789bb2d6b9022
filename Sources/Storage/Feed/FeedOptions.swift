/// Sizes and times of the feed; none of them changes what a change record says.
package struct FeedOptions: Sendable {
    /// Bytes of all segment files; the oldest go beyond it.
    package var bytesMax = 4 << 30
    /// Age of the oldest change of a segment at which the segment goes, in microseconds: one hour
    /// before erased data must have left the disk.
    package var ageMicrosecondsMax: Int64 = 23 * 3_600_000_000
    /// From the oldest to the newest change of a segment, in microseconds: what a segment keeps
    /// shorter than the age above.
    package var segmentMicrosecondsMax: Int64 = 3_600_000_000
    /// Of a block in memory, which is also the largest block of a file, in bytes. A larger frame
    /// has a block of its own.
    package var blockBytes = 256 << 10
    /// Of the newest changes in memory, for readers near the head, in bytes.
    package var memoryBytes = 16 << 20
    /// What may be in memory only, in bytes; with more the log waits.
    package var unsyncedBytesMax = 64 << 20
    /// Written and not synced, in bytes: small enough that a sync does not hold the log's own back
    /// for long, and that all of it is still in memory if the sync fails.
    package var syncBytes = 8 << 20
    /// Between two looks at what is to be written or removed, in nanoseconds: a change is written
    /// after twice as long at the latest.
    package var lookNanoseconds: UInt64 = 1_000_000_000
    /// Between two attempts while writes fail, in nanoseconds.
    package var retryNanoseconds: UInt64 = 1_000_000_000
    /// Space that is left to the log and the next snapshot, in bytes, beside what the caller names.
    package var reserveBytes = 0

    /// Largest segment file, in bytes; only a frame that is larger makes a larger one.
    package var segmentBytesMax = 64 << 20
    /// Of a segment file, in bytes: an eighth of all, so that a small feed forgets in small steps.
    package var segmentBytes: Int { min(self.segmentBytesMax, self.bytesMax / 8) }
    /// Largest frame, in bytes; the feed begins anew behind one that is larger.
    package static let frameBytesMax = 256 << 20
    /// Times that a header may have, in microseconds since 1970: up to the last one of the year
    /// 9999, to which every age can be added.
    static let times: ClosedRange<Int64> = 0 ... 253_402_300_799_999_999
    /// How far the clock of a change may be ahead of the machine's, in microseconds: a change from
    /// further ahead has no age, and goes at once.
    static let aheadMicrosecondsMax: Int64 = 3_600_000_000
    /// How far back from the first change of a segment a later one may be, in microseconds; the
    /// clock was set back then, and the age of the segment is that of its first change.
    static let backMicrosecondsMax: Int64 = 60_000_000

    package init() {}
}
