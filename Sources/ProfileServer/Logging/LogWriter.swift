import IOCore
import IOLinux
import Synchronization

/// Writes the lines of a log on a thread of its own, which is the only one that waits for whoever
/// reads them.
package final class LogWriter: Sendable {
    /// Makes the log whose lines it writes.
    package let log: Log
    package let queue: LogQueue
    private let parker: any Parker
    private let ended: any Parker
    private let hasEnded = Atomic<Bool>(false)
    private let write: @Sendable (UnsafeRawBufferPointer) -> Bool

    /// - Parameters:
    ///   - makeParker: Called twice.
    ///   - write: Writes one line as a whole, for as long as that takes; `false` if nobody can
    ///     receive it. Called on the writer's thread.
    package init(
        level: LogLevel, clock: any Clock, makeParker: () -> any Parker,
        write: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
    ) {
        let parker = makeParker()
        let queue = LogQueue(waker: parker)
        self.parker = parker
        self.ended = makeParker()
        self.queue = queue
        self.log = Log(level: level, clock: clock, sink: { queue.append($0) })
        self.write = write
    }

    /// A log to standard error.
    package static func standardError(level: LogLevel, clock: any Clock) -> LogWriter {
        LogWriter(
            level: level, clock: clock, makeParker: { LinuxParker() },
            write: { LinuxOutput.standardError.write($0, waitsForSpace: true) == .written })
    }

    /// Writes lines until `finish`; the body of its thread.
    package func run() {
        var isFlowing = false
        while true {
            switch self.queue.take(isFlowing: isFlowing) {
            case .lines(let lines):
                for line in lines {
                    // SAFETY: the array owns the bytes for the call.
                    isFlowing = line.withUnsafeBytes { self.write($0) }
                    self.queue.finished(line, isLost: !isFlowing)
                }
            case .report(let dropped):
                // An error whatever the lowest level is: lines of that level may be among them.
                self.log.error("lines of this log were lost", LogField("lines", dropped))
            case .wait: self.parker.park(forNanoseconds: nil)
            case .end:
                self.hasEnded.store(true, ordering: .releasing)
                self.ended.wake()
                return
            }
        }
    }

    /// Waits until everything logged so far is written, but not longer than `nanoseconds`. Called
    /// once, at the end of the process.
    ///
    /// - Returns: Whether all is written: `run` returns then, and its thread can be joined.
    @discardableResult
    package func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.queue.stop()
        if !self.hasEnded.load(ordering: .acquiring) {
            self.ended.park(forNanoseconds: nanoseconds)
        }
        return self.hasEnded.load(ordering: .acquiring)
    }
}
