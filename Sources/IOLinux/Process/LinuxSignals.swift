import Glibc

/// The signals that control the server. They are blocked before the first thread starts, and one
/// thread then waits for them.
package enum LinuxSignals {
    /// A signal that was received.
    package enum Signal: Sendable {
        /// SIGTERM or SIGINT.
        case terminate
        /// SIGHUP.
        case reload
    }

    /// Blocks the signals in this thread and in threads that it starts; ignores SIGPIPE.
    package static func block() {
        signal(SIGPIPE, SIG_IGN)
        var set = Self.set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for the next signal.
    package static func wait() -> Signal {
        var set = Self.set()
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number == SIGHUP ? .reload : .terminate
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
        return set
    }
}
