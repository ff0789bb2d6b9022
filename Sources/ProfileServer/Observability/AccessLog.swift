// Lines of calls are made and written on a thread of their own: a loop only copies a record into a
// bounded queue, so nobody who does not read the file holds a call up.

import Bytes
import IOCore
import IOLinux
import ProfileService
import Synchronization

/// The access log: JSON lines in a file that is opened again on request, or on standard error.
final class AccessLog: CallSink {
    /// Records that are taken at once.
    private static let recordsPerTurn = 256
    /// Most bytes of the queue for standard error that wait when a line of a call is added: half is
    /// left to what the server says of itself.
    private static let standardErrorBytesMax = LogQueue.bytesMax / 2

    /// `nil`: standard error.
    private let file: RotatedFile?
    private let clock: any Clock
    /// Of the server's own log.
    private let standardError: LogQueue
    private let names: ProjectNames
    private let format = AccessLine()
    private let queue: CallQueue
    private let end = WriterEnd(makeParker: { LinuxParker() })
    private let lostCell = Atomic<UInt64>(0)

    /// Opens or creates the file.
    ///
    /// - Parameters:
    ///   - path: `stderr`: lines go between those of `log`.
    ///   - log: Gets what operators should know of the access log itself.
    ///   - standardError: Takes lines for standard error.
    /// - Throws: `IOError`.
    init(
        path: String, clock: any Clock, log: Log, standardError: LogQueue, names: ProjectNames
    ) throws(IOError) {
        self.clock = clock
        self.standardError = standardError
        self.names = names
        self.queue = CallQueue(waker: self.end.parker)
        self.file =
            path == Configuration.standardErrorName
            ? nil
            : try RotatedFile(
                path: path, log: log,
                .init(
                    opened: "access log opened again",
                    notOpened: "access log not opened again: lines go to the file before"))
    }

    /// Lines lost since the start, because nobody read them or the disk was full.
    var dropped: UInt64 { self.queue.dropped + self.lost }

    /// Of those, the ones that had left the queue.
    private var lost: UInt64 {
        self.file == nil
            ? self.standardError.dropped(of: .offered) : self.lostCell.load(ordering: .relaxed)
    }

    func record(_ record: CallRecord) { self.queue.append(record) }

    /// Opens the file again, soon: it was rotated.
    func reopen() {
        self.file?.requestReopening()
        self.end.parker.wake()
    }

    // MARK: The writer

    /// Writes lines until `finish`; the body of its thread.
    func run() {
        var line = ByteBuffer(capacity: 1_024)
        var (unreported, lostBefore): (UInt64, UInt64) = (0, 0)
        while true {
            self.file?.reopenIfDue()
            // Before the queue is looked at: what was added before the stop is written.
            let isStopping = self.end.isFinishing
            let (records, dropped) = self.queue.take(atMost: Self.recordsPerTurn)
            for record in records {
                line.removeAll()
                self.format.append(record, project: self.names.name(of: record.project), to: &line)
                _ = self.write(line.bytes)
            }
            let lost = self.lost
            unreported += dropped + lost - lostBefore
            // Only behind lines that were taken, or the one that says so would be lost, too.
            if unreported > 0, lost == lostBefore, !records.isEmpty {
                line.removeAll()
                AccessLine.appendLoss(of: unreported, at: self.clock.wallMicroseconds(), to: &line)
                if self.write(line.bytes) { unreported = 0 }
            }
            lostBefore = lost
            guard records.isEmpty else { continue }
            if isStopping { break }
            self.end.parker.park(forNanoseconds: nil)
        }
        self.end.announce()
    }

    /// Writes a line, or counts it as lost.
    private func write(_ line: UnsafeRawBufferPointer) -> Bool {
        guard let file = self.file else {
            return self.standardError.append(
                line, of: .offered, bytesMax: Self.standardErrorBytesMax)
        }
        let isWritten = file.append(line, isFinishing: { self.end.isFinishing })
        if !isWritten { self.lostCell.add(1, ordering: .relaxed) }
        return isWritten
    }

    /// Waits until every line is written, but not longer than `nanoseconds`. Called once, when no
    /// call is left.
    ///
    /// - Returns: Whether so: `run` returns then, and its thread can be joined.
    func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.end.finish(withinNanoseconds: nanoseconds)
    }
}
