import IOCore
import IOLinux

/// Tells the service manager how the server is, on a thread of its own: that it is ready, reloads
/// or stops, and that it makes progress, for the watchdog.
///
/// Every message goes through this thread, because the others must not wait for a receiver that
/// does not read.
final class SupervisorNotifier: Sendable {
    private struct State: Sendable {
        var machine = SupervisorStateMachine()
        var threads: [WatchedThread] = []
        var watch: ProgressWatch?
        /// Until then a server that stops is alive without a proof; monotonic, in nanoseconds.
        var stopsUntil: UInt64 = 0
        /// Of the last look at the threads; monotonic, in nanoseconds.
        var watchedAt: UInt64 = 0
        var isStuck = false
        var hasFailed = false
        /// Until then the last messages may be sent; `nil`: the server is not at its end.
        var endsAt: UInt64?
    }

    /// Longest time between two looks at the phase, in nanoseconds.
    private static let turnNanoseconds: UInt64 = 1_000_000_000
    /// Looks at the threads in one period of the watchdog: one that is a little late, twice, still
    /// counts.
    private static let looksPerWatchdog: UInt64 = 4
    /// Pause before a message is sent again that the receiver had no space for, in nanoseconds.
    private static let retryNanoseconds: UInt64 = 50_000_000
    /// Time that a start asks for after each sign of progress, in microseconds: what is done behind
    /// the last byte of the log, such as its sync, must fit in.
    private static let startMicroseconds: UInt64 = 120_000_000
    /// Time that a stop may need behind its grace, for the last sync of the log, in seconds.
    private static let stopSeconds = 60

    private let socket: LinuxNotifySocket
    private let watchdogNanoseconds: UInt64?
    private let clock: any Clock
    private let log: Log
    private let parker: any Parker
    private let state = Guarded(State())

    /// - Parameter watchdogMicroseconds: Of the service manager; `nil`: it does not watch.
    init(
        socket: LinuxNotifySocket, watchdogMicroseconds: UInt64?, clock: any Clock, log: Log,
        parker: any Parker = LinuxParker()
    ) {
        self.socket = socket
        self.watchdogNanoseconds = watchdogMicroseconds.map { $0 * 1_000 }
        self.clock = clock
        self.log = log
        self.parker = parker
    }

    // MARK: From any thread

    /// Calls are served, by these threads.
    func ready(_ threads: [WatchedThread]) {
        let now = self.clock.monotonicNanoseconds()
        self.state.withLock {
            $0.threads = threads
            $0.watch = ProgressWatch(counts: threads.map { $0.count() })
            $0.watchedAt = now
            $0.machine.ready()
        }
        for thread in threads { thread.wake() }
        self.parker.wake()
    }

    /// Runs a reload, and tells of its begin and end.
    func reload(_ body: () -> Void) {
        let now = self.clock.monotonicNanoseconds()
        self.state.withLock { $0.machine.reloadBegins(atMicroseconds: now / 1_000) }
        self.parker.wake()
        body()
        self.state.withLock { $0.machine.reloadEnded() }
        self.parker.wake()
    }

    /// The server drains, for at most so many seconds.
    func stopping(graceSeconds: Int) {
        let seconds = UInt64(graceSeconds + Self.stopSeconds)
        let now = self.clock.monotonicNanoseconds()
        self.state.withLock {
            $0.stopsUntil = now + seconds * 1_000_000_000
            $0.machine.stop(withinMicroseconds: seconds * 1_000_000)
        }
        self.parker.wake()
    }

    /// Makes `run` return once everything is sent, or the time is over.
    func finish(withinNanoseconds nanoseconds: UInt64) {
        let end = self.clock.monotonicNanoseconds() + nanoseconds
        self.state.withLock { $0.endsAt = end }
        self.parker.wake()
    }

    // MARK: Its thread

    /// Sends messages until `finish`; the body of its thread.
    ///
    /// - Parameter phase: Of the server, as probes see it.
    func run(phase: () -> ServingPhase) {
        while true {
            let now = self.clock.monotonicNanoseconds()
            let current = phase()
            self.state.withLock {
                $0.machine.observe(current, extensionMicroseconds: Self.startMicroseconds)
            }
            self.watch(now)
            let isSent = self.send()
            if let end = self.state.withLock({ $0.endsAt }), isSent || now >= end { return }
            self.parker.park(
                forNanoseconds: isSent ? self.pauseNanoseconds : Self.retryNanoseconds)
        }
    }

    private var lookNanoseconds: UInt64? {
        self.watchdogNanoseconds.map { $0 / Self.looksPerWatchdog }
    }

    private var pauseNanoseconds: UInt64 {
        min(self.lookNanoseconds ?? Self.turnNanoseconds, Self.turnNanoseconds)
    }

    /// Sends what waits.
    ///
    /// - Returns: False if the receiver has no space.
    private func send() -> Bool {
        while let message = self.state.withLock({ $0.machine.waiting.first }) {
            switch self.socket.send(message.text) {
            case .sent: self.state.withLock { $0.hasFailed = false }
            case .wouldBlock: return false
            case .failed(let error): self.report(error)
            }
            self.state.withLock {
                // Another thread may have replaced it by a newer one, which is sent then.
                if $0.machine.waiting.first == message { $0.machine.removeFirst() }
            }
        }
        return true
    }

    /// Logs a failure once, until a message was sent again.
    private func report(_ error: IOError) {
        let isKnown = self.state.withLock { state in
            defer { state.hasFailed = true }
            return state.hasFailed
        }
        guard !isKnown else { return }
        self.log.warning(
            "the service manager cannot be told", LogField("reason", error.explanation))
    }

    // MARK: Watchdog

    /// Feeds the watchdog if every watched thread has taken a turn, and asks each for another one.
    private func watch(_ now: UInt64) {
        guard let pause = self.lookNanoseconds else { return }
        let threads: [WatchedThread] = self.state.withLock { state in
            guard now &- state.watchedAt >= pause, state.watch != nil else { return [] }
            state.watchedAt = now
            return state.threads
        }
        guard !threads.isEmpty else { return }
        let counts = threads.map { $0.count() }
        let excused = threads.map { $0.waitsForDisk() }
        let newlyStuck: [Int] = self.state.withLock { state in
            let stuck = state.watch?.observe(counts, isExcused: { excused[$0] }) ?? []
            // The threads of a server that stops end one by one.
            if stuck.isEmpty || now < state.stopsUntil { state.machine.alive() }
            defer { state.isStuck = !stuck.isEmpty }
            return state.isStuck || state.stopsUntil > 0 ? [] : stuck
        }
        for thread in threads { thread.wake() }
        guard !newlyStuck.isEmpty else { return }
        self.log.error(
            "the watchdog is not fed: threads make no progress",
            LogField("threads", newlyStuck.map { threads[$0].name }.joined(separator: " ")))
    }
}
