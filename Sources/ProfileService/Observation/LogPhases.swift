/// How long a write spent on its way through the log, in nanoseconds.
package struct LogPhases: Equatable, Sendable {
    /// From the loop's hand-over to the append of its frame: behind other frames.
    package var queueNanoseconds: UInt64
    /// From the append to the report that the frame is durable.
    package var syncNanoseconds: UInt64
    /// From there until its frame is applied.
    package var applyNanoseconds: UInt64

    package init(queueNanoseconds: UInt64, syncNanoseconds: UInt64, applyNanoseconds: UInt64) {
        self.queueNanoseconds = queueNanoseconds
        self.syncNanoseconds = syncNanoseconds
        self.applyNanoseconds = applyNanoseconds
    }
}
