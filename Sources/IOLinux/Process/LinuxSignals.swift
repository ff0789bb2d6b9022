import Glibc

/// The signals that control the server. They are blocked before the first thread starts, and one
/// thread then waits for them.
package enum LinuxSignals {
    /// A signal that was received.
    package enum Signal: Equatable, Sendable {
        /// SIGTERM or SIGINT.
        case terminate
        /// SIGHUP.
        case reload
        /// SIGQUIT or SIGABRT from outside, by its number: end without any order.
        case abort(Int32)
    }

    /// Blocks the signals in this thread and in threads that it starts; ignores SIGPIPE and
    /// SIGXFSZ, so that the write fails instead: with EFBIG, as on a full disk.
    ///
    /// SIGQUIT and SIGABRT are among them because the Swift runtime would stop to print a backtrace
    /// of every thread, and does not come back from that. An `abort` of this process still ends it:
    /// it unblocks SIGABRT for its own thread.
    package static func block() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        var set = Self.set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for the next signal.
    package static func wait() -> Signal {
        var set = Self.set()
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return switch number {
        case SIGHUP: .reload
        case SIGQUIT, SIGABRT: .abort(number)
        default: .terminate
        }
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT] { sigaddset(&set, number) }
        return set
    }
}
