// Apart from the server's own log: another reader, kept for longer, and never a place for debugging
// text. Its lines wait in a queue of the same kind, so nobody who does not read it holds a call up.

import Bytes
import IOCore
import IOLinux
import ProfileService

/// The audit log: a file of JSON lines, written on a thread of its own and opened again on request.
final class AuditLog: AuditSink {
    /// Most bytes that wait when a line of a refused access is added: half of the queue is left to
    /// what few can cause.
    static let denialBytesMax = LogQueue.bytesMax / 2

    private let clock: any Clock
    private let log: Log
    private let lines = LineWriter(makeParker: { LinuxParker() })
    private let format = AuditLine()
    private let next = Guarded(Next())
    private let file: RotatedFile

    private struct Next: ~Copyable, Sendable {
        /// The line being built; its storage is kept between lines.
        var line = ByteBuffer(capacity: 512)
        var denials = DenialLimit()
    }

    var queue: LogQueue { self.lines.queue }

    /// Opens or creates the file.
    ///
    /// - Parameter log: Gets what operators should know of the audit log itself.
    /// - Throws: `IOError`.
    init(path: String, clock: any Clock, log: Log) throws(IOError) {
        self.clock = clock
        self.log = log
        self.file = try RotatedFile(
            path: path, log: log,
            .init(
                opened: "audit log opened again",
                notOpened: "audit log not opened again: lines go to the file before"))
    }

    /// Adds a line, or drops and counts it if the reader is too far behind, or too many accesses
    /// were refused within a second.
    func record(_ record: AuditRecord) {
        self.next.withLock { next in
            let now = self.clock.monotonicNanoseconds()
            self.reportDenials(&next, now)
            if record.isDenial,
                case .count(let isFirst) = next.denials.refused(nowNanoseconds: now)
            {
                // The writer says how many there were when the second is over.
                if isFirst { self.lines.wake() }
                return
            }
            next.line.removeAll()
            self.format.append(record, to: &next.line)
            self.queue.append(
                next.line.bytes,
                bytesMax: record.isDenial ? Self.denialBytesMax : LogQueue.bytesMax)
        }
    }

    /// Adds the line that counts refused accesses of a second that is over.
    private func reportDenials(_ next: inout Next, _ now: UInt64, isLast: Bool = false) {
        let more = next.denials.takeMore(nowNanoseconds: now, isLast: isLast)
        guard more > 0 else { return }
        next.line.removeAll()
        AuditLine.appendDenials(more, at: self.clock.wallMicroseconds(), to: &next.line)
        self.queue.append(next.line.bytes)
    }

    /// Opens the file again, soon: it was rotated.
    func reopen() {
        self.file.requestReopening()
        self.lines.wake()
    }

    // MARK: The writer

    /// Writes lines until `finish`; the body of its thread.
    func run() {
        self.lines.run(
            write: { self.write($0) },
            onLoss: { self.reportLoss(of: $0) },
            onWake: {
                self.file.reopenIfDue()
                return self.reportDenials()
            })
    }

    /// As above.
    ///
    /// - Returns: When it is due again, in nanoseconds from now; `nil`: not yet known.
    private func reportDenials() -> UInt64? {
        self.next.withLock { next in
            let now = self.clock.monotonicNanoseconds()
            self.reportDenials(&next, now)
            return next.denials.pauseNanoseconds(nowNanoseconds: now)
        }
    }

    private func write(_ line: UnsafeRawBufferPointer) -> Bool {
        self.file.append(line) { self.lines.isFinishing }
    }

    /// Says in both logs how many lines are missing.
    private func reportLoss(of count: UInt64) {
        self.log.error("lines of the audit log were lost", LogField("lines", count))
        var line = ByteBuffer(capacity: 128)
        AuditLine.appendLoss(of: count, at: self.clock.wallMicroseconds(), to: &line)
        _ = self.write(line.bytes)
    }

    /// Waits until every line is written, but not longer than `nanoseconds`. Called when no call is
    /// left, or when the process has to end.
    ///
    /// - Returns: Whether so: `run` returns then, and its thread can be joined.
    func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.next.withLock {
            self.reportDenials(&$0, self.clock.monotonicNanoseconds(), isLast: true)
        }
        return self.lines.finish(withinNanoseconds: nanoseconds)
    }
}
