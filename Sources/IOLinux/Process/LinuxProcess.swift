import Glibc

/// What concerns the process as a whole.
package enum LinuxProcess {
    /// Cores that this process may use.
    package static var cores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Memory that this process may use, in bytes: that of the machine, or what its control group
    /// allows.
    package static var memoryBytes: Int {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        let limits = Self.memoryLimitFiles.compactMap(Self.number(inFile:))
        return limits.reduce(machine, min)
    }

    /// Of control groups, version 2 and 1, as a container sees its own.
    private static let memoryLimitFiles = [
        "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]

    /// `nil` where there is no such file, or no number in it, such as `max`.
    private static func number(inFile path: String) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return Int(String(decoding: bytes.prefix(count).prefix { $0 > 0x20 }, as: UTF8.self))
    }

    /// Ends at once, without unwinding anything.
    package static func exitNow(_ code: Int32) -> Never {
        _exit(code)
    }

    /// Descriptors that this process may have open; after `harden`, all that it is allowed.
    package static var descriptorsMax: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return Int.max
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// New files are readable by their owner only; descriptors up to the hard limit; no core dumps,
    /// which would hold people's data (S11).
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
