import Glibc

/// What concerns the process as a whole.
package enum LinuxProcess {
    /// Cores that this process may use.
    package static var cores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Ends at once, without unwinding anything.
    package static func exitNow(_ code: Int32) -> Never {
        _exit(code)
    }

    /// New files are readable by their owner only; descriptors up to the hard limit; no core dumps, which would hold people's data (S11).
    package static func harden() {
        umask(0o077)
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        limit = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }
}
