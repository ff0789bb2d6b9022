import CLinux
import Glibc

/// Properties and limits of the process as a whole.
package enum LinuxProcess {
    /// Cores that this process may use.
    package static var cores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Memory that this process may use, in bytes: the machine's, or the limit of its control
    /// group.
    package static var memoryBytes: Int {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        let limits = Self.memoryLimitFiles.compactMap(Self.number(inFile:))
        return limits.reduce(machine, min)
    }

    /// The limit files of control groups, version 2 and 1, at the paths inside a container.
    private static let memoryLimitFiles = [
        "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]

    /// `nil` if there is no such file, or its content is not a number (`max`).
    private static func number(inFile path: String) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return Int(String(decoding: bytes.prefix(count).prefix { $0 > 0x20 }, as: UTF8.self))
    }

    /// Exits immediately, without running exit handlers.
    package static func exitNow(_ code: Int32) -> Never {
        _exit(code)
    }

    /// Most descriptors that this process may have open; after `harden`, the hard limit.
    package static var descriptorsMax: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return Int.max
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Makes new files accessible to their owner only, raises the descriptor limit to the hard
    /// limit, makes the allocator give large blocks back to the system when they are freed, and
    /// disables core dumps, which would contain people's data (S11).
    package static func harden() {
        umask(0o077)
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        linux_return_large_blocks()
        limit = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }
}
