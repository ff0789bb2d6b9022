/// How far a watch has come: where it resumes, and which changes it has shown there.
///
/// A Watch resumes at the lsn of the last change received, whose changes come again, or behind a
/// heartbeat. Those that come again are recognized by their bytes: a replayed change has the values
/// of its operation. Counting would not do, since changes of people who have been erased in the
/// meantime do not come again.
package struct WatchPosition {
    /// `from_lsn` of the next call.
    package private(set) var next: UInt64
    /// Of the changes at `next` that were shown, by the hash of their bytes. One operation changes
    /// one or two profiles, or all with an address that is suppressed: 8 bytes for each.
    private var shown: Set<Int> = []
    /// Those of `shown` that this call may bring again.
    private var repeatable: Set<Int> = []

    /// - Parameter first: `from_lsn` of the first call; 0: from now.
    package init(first: UInt64) {
        self.next = first
    }

    /// To be called before each further call.
    package mutating func resume() {
        self.repeatable = self.shown
    }

    /// Everything up to `lsn` has been received.
    package mutating func pass(heartbeat lsn: UInt64) {
        guard lsn >= self.next, lsn < .max else { return }
        self.next = lsn + 1
        self.shown = []
        self.repeatable = []
    }

    /// Takes a change.
    ///
    /// - Returns: Whether it is to be shown: not if an earlier call has brought it.
    package mutating func pass(change lsn: UInt64, bytes: [UInt8]) -> Bool {
        guard lsn >= self.next else { return false }
        if lsn > self.next {
            self.next = lsn
            self.shown = []
            self.repeatable = []
        }
        var hasher = Hasher()
        hasher.combine(bytes)
        let hash = hasher.finalize()
        if self.repeatable.remove(hash) != nil { return false }
        self.shown.insert(hash)
        return true
    }
}
