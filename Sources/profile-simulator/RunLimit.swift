import Foundation

/// How long one run may take.
///
/// Computing time, not real time: a machine that has other work, or a search at the lowest
/// priority, must not make a slow run look like an endless one. A run that waits for ever takes no
/// computing time, so there is a limit of real time too, far above.
enum RunLimit {
    /// Of computing time, in seconds: a run takes about a tenth of one.
    static let computingSeconds = 120
    /// Of real time, in seconds.
    static let realSeconds: TimeInterval = 7_200

    static let text =
        "no end within \(Self.computingSeconds) s of computing or "
        + "\(Int(Self.realSeconds)) s in all"

    /// Gives this process so much computing time from now on; SIGXCPU ends it then.
    static func begin() {
        var used = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)
        let resource = __rlimit_resource_t(RLIMIT_CPU.rawValue)
        var limit = rlimit()
        getrlimit(resource, &limit)
        limit.rlim_cur = min(limit.rlim_max, rlim_t(used.tv_sec + Self.computingSeconds))
        setrlimit(resource, &limit)
    }

    /// Whether a process was ended by one of the limits.
    static func ended(_ process: Process) -> Bool {
        process.terminationReason == .uncaughtSignal
            && [SIGXCPU, SIGKILL].contains(process.terminationStatus)
    }
}
