import IOCore
import IOLinux

/// The server's own log, and the thread that writes it.
package final class LogWriter: Sendable {
    /// Makes the log whose lines it writes.
    package let log: Log
    package var queue: LogQueue { self.lines.queue }
    private let lines: LineWriter
    private let write: @Sendable (UnsafeRawBufferPointer) -> Bool

    /// - Parameters:
    ///   - makeParker: Called twice.
    ///   - write: Writes one line as a whole, for as long as that takes; `false` if nobody can
    ///     receive it. Called on the writer's thread.
    package init(
        level: LogLevel, clock: any Clock, makeParker: () -> any Parker,
        write: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
    ) {
        let lines = LineWriter(makeParker: makeParker)
        self.lines = lines
        self.log = Log(level: level, clock: clock, sink: { lines.queue.append($0) })
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
        self.lines.run(
            write: self.write,
            onLoss: { dropped in
                // An error whatever the lowest level is: lines of that level may be among them.
                self.log.error("lines of this log were lost", LogField("lines", dropped))
            })
    }

    /// Waits until everything logged so far is written, but not longer than `nanoseconds`. Called
    /// once, at the end of the process.
    ///
    /// - Returns: Whether all is written: `run` returns then, and its thread can be joined.
    @discardableResult
    package func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.lines.finish(withinNanoseconds: nanoseconds)
    }
}
