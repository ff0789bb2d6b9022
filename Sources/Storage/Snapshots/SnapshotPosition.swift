/// Where the log goes on behind a snapshot: always between two frames.
package struct SnapshotPosition: Equatable, Sendable {
    /// Number of the first frame that the snapshot does not cover.
    package var nextFrame: UInt64
    /// Of the first operation that the snapshot does not cover.
    package var nextLSN: UInt64
    /// CRC field of the frame header before `nextFrame`, which that frame must carry.
    package var previousHeaderCRC: UInt32
    /// Of the last frame of records covered, in microseconds since 1970.
    package var receivedAt: Int64
    /// By which the covered records were applied.
    package var rulesVersion: UInt32
    /// Of the results of the last frame of records covered.
    package var resultsDigest: UInt64

    package init(
        nextFrame: UInt64, nextLSN: UInt64, previousHeaderCRC: UInt32, receivedAt: Int64,
        rulesVersion: UInt32,
        resultsDigest: UInt64
    ) {
        self.nextFrame = nextFrame
        self.nextLSN = nextLSN
        self.previousHeaderCRC = previousHeaderCRC
        self.receivedAt = receivedAt
        self.rulesVersion = rulesVersion
        self.resultsDigest = resultsDigest
    }

    /// The last lsn that the snapshot covers.
    package var lsn: UInt64 { self.nextLSN - 1 }

    /// What the next frame of the log must continue.
    var chain: SegmentedLog.Chain {
        SegmentedLog.Chain(
            nextFrame: self.nextFrame, nextLSN: self.nextLSN,
            previousHeaderCRC: self.previousHeaderCRC)
    }
}
