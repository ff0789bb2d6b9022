/// Sizes of the log; none of them changes what it holds.
package struct LogOptions: Sendable {
    /// Size of a segment, in bytes. The largest frame fits besides its header, whatever the
    /// setting.
    package var segmentBytes = 64 << 20
    /// What is left of a segment when writes stop because there is no next one, in bytes: 4 MiB of
    /// the default, as much as an ordinary frame takes at most. It holds seals, and ticks before a
    /// snapshot, which is what frees the log.
    package var reserveBytes: Int { self.segmentBytes / 16 }
    /// Free space at which writes continue if no spare segment is ready, in bytes: the next segment
    /// and its successor. Twice what a segment takes, so that a disk with space for just one does
    /// not stop and start with every segment.
    package var headroomBytes: Int { 2 * self.segmentBytes }
    /// Shortest time between two looks at whether the directory is still this process's, in
    /// nanoseconds: three system calls each, so 0.2 % of a core at most.
    package var holdNanoseconds: UInt64 = 1_000_000
    /// The same while nothing is written, in nanoseconds: that is how long health says SERVING
    /// after the directory was lost.
    package var idleHoldNanoseconds: UInt64 = 1_000_000_000
    /// Idle time after which the log is sealed, in nanoseconds: so short that a kill rarely leaves
    /// a tail to be copied, so long that a seal, which costs a sync, is rare beside frames.
    package var idleSealNanoseconds: UInt64 = 100_000_000
    /// Zeros written between two syncs while a segment is prepared: small enough that a commit
    /// beside it does not wait long.
    package var prepareStepBytes = 256 << 10
    /// The lsn at which a log is accepted that ends before its noted end; `nil`: it is rejected.
    package var acceptedEndLSN: UInt64?
    /// Bytes of a torn tail that are kept aside for a person to look at.
    package var tornBytesKept = 1 << 20
    /// Files with torn tails that are kept; the oldest go.
    package var tornFilesKept = 8

    package init() {}
}
