import Glibc

/// What the control groups of a process allow it, in version 1 and 2.
///
/// A process is in a group below which its limits apply, and every parent limits it too. Inside a
/// container the group is usually the root of what is mounted; outside, /proc/self/cgroup names it.
///
/// - Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
package struct ControlGroups {
    /// The folder where control groups are mounted.
    private let root: String
    /// The lines of /proc/self/cgroup: `hierarchy:controllers:path`.
    private let membership: [Substring]

    /// - Parameters:
    ///   - root: Usually /sys/fs/cgroup.
    ///   - membership: The content of /proc/self/cgroup; empty if it cannot be read.
    package init(root: String, membership: String) {
        self.root = root
        self.membership = membership.split(separator: "\n")
    }

    /// Of this process.
    package static var ofThisProcess: ControlGroups {
        ControlGroups(
            root: "/sys/fs/cgroup", membership: Self.text(inFile: "/proc/self/cgroup") ?? "")
    }

    /// The smallest quota of processor time, in whole cores, rounded up; `nil`: none.
    package var cores: Int? {
        let second = self.folders(controller: nil).compactMap { folder -> Int? in
            let parts = Self.text(inFile: folder + "/cpu.max")?.split(separator: " ") ?? []
            guard parts.count == 2, let quota = Int(parts[0]), let period = Int(parts[1]) else {
                return nil
            }
            return Self.cores(quota: quota, period: period)
        }
        let first = self.folders(controller: "cpu").compactMap { folder -> Int? in
            guard let quota = Self.number(inFile: folder + "/cpu.cfs_quota_us"),
                let period = Self.number(inFile: folder + "/cpu.cfs_period_us")
            else { return nil }
            return Self.cores(quota: quota, period: period)
        }
        return (first + second).min()
    }

    /// The smallest limit of memory, in bytes; `nil`: none.
    package var memoryBytes: Int? {
        let second = self.folders(controller: nil).compactMap {
            Self.number(inFile: $0 + "/memory.max")
        }
        let first = self.folders(controller: "memory").compactMap {
            Self.number(inFile: $0 + "/memory.limit_in_bytes")
        }
        return (first + second).filter { $0 > 0 }.min()
    }

    /// Version 1 has -1, version 2 `max` for no quota.
    private static func cores(quota: Int, period: Int) -> Int? {
        guard quota > 0, period > 0 else { return nil }
        return (quota - 1) / period + 1
    }

    /// The folders of the process's group and its parents, up to the mount.
    ///
    /// - Parameter controller: Of version 1, which has one hierarchy for each; `nil`: version 2.
    private func folders(controller: String?) -> [String] {
        let mount = controller.map { "\(self.root)/\($0)" } ?? self.root
        let path = self.membership.lazy.compactMap { line -> Substring? in
            let parts = line.split(
                separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return nil }
            let controllers = parts[1].split(separator: ",")
            let isMeant = controller.map { controllers.contains(Substring($0)) }
            return isMeant ?? controllers.isEmpty ? parts[2] : nil
        }.first
        // The path may be that of the host, seen from a container: then only the mount exists.
        var folders = [mount]
        for name in path?.split(separator: "/") ?? [] where name != ".." {
            folders.append(folders[folders.count - 1] + "/" + name)
        }
        return folders
    }

    /// `nil` if there is no such file, or its content is not a number (`max`).
    private static func number(inFile path: String) -> Int? {
        Self.text(inFile: path).flatMap { Int($0) }
    }

    /// The content of a short file without the white space around it.
    private static func text(inFile path: String) -> String? {
        guard let bytes = try? LinuxInput.read(path, bytesMax: 4_096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        return String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
