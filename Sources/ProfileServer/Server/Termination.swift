import IOCore
import IOLinux

/// Ends the server on signals, on a thread of its own: whatever the others wait for, a second
/// SIGTERM is received.
final class Termination: Sendable {
    /// Longest wait for the last lines of both logs before an abrupt end, in nanoseconds.
    private static let lastLinesNanoseconds: UInt64 = 200_000_000

    private let state = Guarded(TerminationStateMachine())
    private let parker: any Parker = LinuxParker()
    private let writer: LogWriter
    /// `nil`: none is configured.
    private let auditLog: AuditLog?
    private let onReload: @Sendable () -> Void

    /// - Parameter onReload: SIGHUP has come; called on the thread of the signals.
    init(writer: LogWriter, auditLog: AuditLog?, onReload: @escaping @Sendable () -> Void) {
        self.writer = writer
        self.auditLog = auditLog
        self.onReload = onReload
    }

    /// Waits for signals for the rest of the process's life; the body of its thread.
    func run() {
        while true { self.received(LinuxSignals.wait()) }
    }

    private func received(_ signal: LinuxSignals.Signal) {
        let log = self.writer.log
        switch self.state.withLock({ $0.received(signal) }) {
        case .ignore: break
        case .reload: self.onReload()
        case .drain: self.parker.wake()
        case .endBeforeServing:
            log.info("stopped before anything was served")
            self.end(.success)
        case .abort(let number):
            log.error("ended by a signal", LogField("signal", number))
            self.end(.unexpected)
        case .endNow: self.end(.unexpected)
        }
    }

    private func end(_ code: ExitCode) -> Never {
        self.finishLines()
        LinuxProcess.exitNow(code.rawValue)
    }

    /// Waits for the last lines: those of the audit log first, as they say who did it.
    func finishLines() {
        let clock = LinuxClock()
        let end = clock.monotonicNanoseconds() + Self.lastLinesNanoseconds
        _ = self.auditLog?.finish(withinNanoseconds: Self.lastLinesNanoseconds)
        let now = clock.monotonicNanoseconds()
        self.writer.finish(withinNanoseconds: max(end, now) - now)
    }

    /// The server begins to serve: SIGTERM drains it from now on.
    func serve() {
        guard !self.state.withLock({ $0.serve() }) else { return }
        // The thread of `run` is about to end the process.
        while true { self.parker.park(forNanoseconds: nil) }
    }

    /// Waits for the first SIGTERM.
    func waitForDrain() {
        while !self.state.withLock({ $0.isDraining }) { self.parker.park(forNanoseconds: nil) }
    }
}
