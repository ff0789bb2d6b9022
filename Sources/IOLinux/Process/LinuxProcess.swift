import CLinux
import Glibc

/// Properties and limits of the process as a whole.
package enum LinuxProcess {
    /// The arguments of the process, without its name.
    ///
    /// From C, because Swift's `CommandLine` reads /proc/self/cmdline: where /proc is not mounted
    /// it is empty, and every flag would be ignored in silence.
    package static var arguments: [String] {
        // SAFETY: the strings of main live, unchanged, as long as the process, and are copied; the
        // count is theirs.
        (0 ..< linux_argument_count()).dropFirst().map { String(cString: linux_argument($0)) }
    }

    /// The id of the process.
    package static var identifier: Int32 { getpid() }

    /// The environment of the process; of a name that is there twice, the first value, as `getenv`
    /// has it.
    ///
    /// From C, because Foundation, whose `ProcessInfo` has it too, would add 50 MB to a program
    /// that is linked statically (docs/decisions/0530-static-runtime.md).
    package static var environment: [String: String] {
        var variables: [String: String] = [:]
        var index: Int32 = 0
        // SAFETY: the table and its strings change only by `setenv` and the like, which this
        // process calls before it has a second thread; each string is copied.
        while let entry = linux_environment_entry(index) {
            index += 1
            let text = String(cString: entry)
            guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(text[..<equals])
            if variables[name] == nil {
                variables[name] = String(text[text.utf8.index(after: equals)...])
            }
        }
        return variables
    }

    /// Cores that this process may use: those of its affinity, and the quota of its control groups,
    /// rounded up.
    package static var cores: Int {
        let affinity = Int(linux_affinity_count())
        let allowed = affinity > 0 ? affinity : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        return min(allowed, ControlGroups.ofThisProcess.cores ?? allowed)
    }

    /// Memory that this process may use, in bytes: the machine's, or the limit of its control
    /// groups.
    package static var memoryBytes: Int {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        return min(machine, ControlGroups.ofThisProcess.memoryBytes ?? machine)
    }

    /// Exits immediately, without running exit handlers.
    package static func exitNow(_ code: Int32) -> Never {
        _exit(code)
    }

    /// Most descriptors that this process may have open; after `harden`, the hard limit.
    package static var descriptorsMax: Int {
        Self.limit(RLIMIT_NOFILE).map { Int(clamping: $0.rlim_cur) } ?? Int.max
    }

    /// Largest file that this process may write, in bytes; after `harden`, the hard limit. `nil`:
    /// any.
    package static var fileBytesMax: Int? {
        guard let limit = Self.limit(RLIMIT_FSIZE), limit.rlim_cur < UInt64(Int64.max) else {
            return nil
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Disables core dumps, which would contain people's data and keys, also those that a pattern
    /// pipes to a program in spite of the limit; nobody but root can attach a debugger then, or
    /// read the memory by /proc (S11). Call it before a secret is read.
    package static func forbidDumps() {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        linux_forbid_dumps()
    }

    /// Makes new files accessible to their owner only, raises the limits of descriptors and of file
    /// size to the hard ones, and makes the allocator give large blocks back to the system when
    /// they are freed.
    package static func harden() {
        umask(0o077)
        for resource in [RLIMIT_NOFILE, RLIMIT_FSIZE] {
            guard var limit = Self.limit(resource) else { continue }
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(resource.rawValue), &limit)
        }
        linux_return_large_blocks()
    }

    private static func limit(_ resource: __rlimit_resource) -> rlimit? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
        return limit
    }

    /// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed, so that no file or
    /// socket gets its number and is then written to as standard error. Call it before anything is
    /// opened.
    package static func holdStandardDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            guard fcntl(descriptor, F_GETFD) < 0, errno == EBADF else { continue }
            // The lowest free number is this one. Without /dev an eventfd will do: it accepts no
            // text either.
            if open("/dev/null", O_RDWR) < 0 { _ = linux_eventfd() }
        }
    }
}
