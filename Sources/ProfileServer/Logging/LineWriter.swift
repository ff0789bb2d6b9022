import IOCore

/// Writes the lines of a queue on a thread of its own, which is the only one that waits for whoever
/// reads them.
final class LineWriter: Sendable {
    let queue: LogQueue
    private let end: WriterEnd

    /// - Parameter makeParker: Called twice.
    init(makeParker: () -> any Parker) {
        self.end = WriterEnd(makeParker: makeParker)
        self.queue = LogQueue(waker: self.end.parker)
    }

    /// See `WriterEnd`.
    var isFinishing: Bool { self.end.isFinishing }

    /// Writes lines until `finish`; the body of its thread.
    ///
    /// - Parameters:
    ///   - write: Writes one line as a whole, for as long as that takes; `false` if nobody can
    ///     receive it.
    ///   - onLoss: So many lines were lost, and the last one was written: the reader follows again.
    ///   - onWake: Somebody called `wake`, lines have come, or the time that it returned last is
    ///     over. It returns when it shall be called again at the latest, in nanoseconds from now;
    ///     `nil`: never.
    func run(
        write: (UnsafeRawBufferPointer) -> Bool, onLoss: (UInt64) -> Void,
        onWake: () -> UInt64? = { nil }
    ) {
        var isFlowing = false
        while true {
            let pause = onWake()
            switch self.queue.take(isFlowing: isFlowing) {
            case .lines(let lines):
                for line in lines {
                    // SAFETY: the array owns the bytes for the call.
                    isFlowing = line.bytes.withUnsafeBytes { write($0) }
                    self.queue.finished(line, isLost: !isFlowing)
                }
            case .report(let dropped): onLoss(dropped)
            case .wait: self.end.parker.park(forNanoseconds: pause)
            case .end:
                return self.end.announce()
            }
        }
    }

    /// Makes the thread call `onWake` soon, unless it waits for a reader.
    func wake() {
        self.end.parker.wake()
    }

    /// Waits until everything added so far is written, but not longer than `nanoseconds`. Called
    /// once, at the end of the process.
    ///
    /// - Returns: Whether all is written: `run` returns then, and its thread can be joined.
    func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.end.finish(withinNanoseconds: nanoseconds) { self.queue.stop() }
    }
}
