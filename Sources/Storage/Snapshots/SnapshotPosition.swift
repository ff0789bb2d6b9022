/// What a snapshot covers, and where the log continues behind it: always between two frames.
package struct SnapshotPosition: Equatable, Sendable {
    /// The last lsn that the snapshot covers.
    package var lsn: UInt64
    /// Of the last frame of records covered, in microseconds since 1970.
    package var receivedAt: Int64
    /// The rules by which the covered records were applied.
    package var rulesVersion: UInt32
    /// Of the results of the last frame of records covered.
    package var resultsDigest: UInt64
    /// Where the log continues.
    package var log: LogPosition

    package init(
        lsn: UInt64, receivedAt: Int64, rulesVersion: UInt32, resultsDigest: UInt64,
        log: LogPosition
    ) {
        self.lsn = lsn
        self.receivedAt = receivedAt
        self.rulesVersion = rulesVersion
        self.resultsDigest = resultsDigest
        self.log = log
    }
}

// How the local log reads a position.
extension SnapshotPosition {
    /// Number of the first frame that the snapshot does not cover.
    var nextFrame: UInt64 { self.log.index }
    /// Of the first operation that the snapshot does not cover.
    var nextLSN: UInt64 { self.lsn + 1 }
    /// CRC field of the frame header before `nextFrame`, which that frame must carry.
    var previousHeaderCRC: UInt32 { self.log.check }

    /// What the next frame of the log must continue.
    var chain: SegmentedLog.Chain {
        SegmentedLog.Chain(
            nextFrame: self.nextFrame, nextLSN: self.nextLSN,
            previousHeaderCRC: self.previousHeaderCRC)
    }
}

extension LogPosition {
    /// The position of the local log behind the frames before a chain's next one.
    init(_ chain: SegmentedLog.Chain) {
        self.init(index: chain.nextFrame, check: chain.previousHeaderCRC)
    }
}
