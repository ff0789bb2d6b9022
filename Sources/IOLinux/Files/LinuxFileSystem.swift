import CLinux
import Glibc
import IOCore

/// The file system of Linux.
///
/// Once a directory is locked, paths below it are opened relative to its descriptor: if another
/// directory takes its path, this process never touches a file there.
package final class LinuxFileSystem: FileSystem {
    private static let directoryMode: mode_t = 0o700
    static let fileMode: mode_t = 0o600

    /// The locked directory.
    private struct Root: Sendable {
        var path: String
        var descriptor: Int32
    }

    private let root = Guarded<Root?>(nil)

    package init() {}

    /// What to give to a system call for a path: a directory's descriptor, and a path below it.
    private func resolve(_ path: String) -> (directory: Int32, path: String) {
        guard let root = self.root.withLock({ $0 }), path.hasPrefix(root.path) else {
            return (AT_FDCWD, path)
        }
        let rest = path.dropFirst(root.path.count)
        if rest.isEmpty { return (root.descriptor, ".") }
        guard rest.first == "/" else { return (AT_FDCWD, path) }
        return (root.descriptor, String(rest.dropFirst()))
    }

    package func createDirectory(_ path: String) throws(IOError) {
        _ = try self.createDirectories(path)
    }

    /// - Returns: The directories that were missing, the outermost first.
    private func createDirectories(_ path: String) throws(IOError) -> [String] {
        var created: [String] = []
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            let parent = prefix.isEmpty ? "." : prefix
            prefix += prefix.isEmpty || prefix == "/" ? part : "/" + part
            let found = self.resolve(prefix)
            guard mkdirat(found.directory, found.path, Self.directoryMode) != 0 else {
                // If the entry of a directory is lost, so is everything in it, synced or not.
                created.append(prefix)
                try self.syncDirectory(parent)
                continue
            }
            guard errno == EEXIST else {
                let error = IOError(operation: "mkdir", subject: prefix)
                for directory in created.reversed() { rmdir(directory) }
                throw error
            }
        }
        return created
    }

    package func list(_ directory: String) throws(IOError) -> [String] {
        let stream = try self.openDirectory(directory)
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw IOError(operation: "readdir", subject: directory) }
                break
            }
            // SAFETY: `entry` belongs to the directory stream until its next call; `d_name` ends
            // with a zero within its array, and the text is copied.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    package func open(_ path: String, _ access: FileAccess) throws(IOError) -> any File {
        let flags =
            switch access {
            case .read: O_RDONLY
            case .update: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        return LinuxFile(path: path, descriptor: try self.open(path, flags | O_NOFOLLOW))
    }

    package func rename(_ source: String, to target: String) throws(IOError) {
        let (old, new) = (self.resolve(source), self.resolve(target))
        guard renameat(old.directory, old.path, new.directory, new.path) == 0 else {
            throw IOError(operation: "rename", subject: source)
        }
    }

    package func remove(_ path: String) throws(IOError) {
        let found = self.resolve(path)
        guard unlinkat(found.directory, found.path, 0) == 0 else {
            throw IOError(operation: "unlink", subject: path)
        }
    }

    package func syncDirectory(_ path: String) throws(IOError) {
        // Not through a link, unless it is the locked directory: a backup does not follow one.
        let descriptor = try self.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        defer { Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw IOError(operation: "fsync", subject: path) }
    }

    package func lockDirectory(_ directory: String) throws(IOError) -> any DirectoryLock {
        let created = try self.createDirectories(directory)
        do throws(IOError) {
            return try self.lock(directory, created)
        } catch {
            for directory in created.reversed() { rmdir(directory) }
            throw error
        }
    }

    private func lock(_ directory: String, _ created: [String]) throws(IOError)
        -> any DirectoryLock
    {
        let descriptor = try self.open(directory, O_RDONLY | O_DIRECTORY)
        do throws(IOError) {
            try LinuxDirectoryLock.lockDirectory(descriptor, LOCK_EX, directory)
            // A directory that cannot be written to is rejected before anything of it is read.
            guard faccessat(descriptor, ".", W_OK | X_OK, AT_EACCESS) == 0 else {
                throw IOError(operation: "access", subject: directory)
            }
            let root = self.root
            let lock = try LinuxDirectoryLock(
                path: directory, descriptor: descriptor, created: created,
                onRelease: { root.withLock { $0 = nil } })
            self.root.withLock { $0 = Root(path: directory, descriptor: descriptor) }
            return lock
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    /// Excludes writers from a directory that is read; creates nothing. Several readers may have
    /// one directory.
    ///
    /// - Throws: `.locked` if another process has the exclusive use of it.
    package func lockShared(_ directory: String) throws(IOError) -> any DirectoryLock {
        let descriptor = try self.open(directory, O_RDONLY | O_DIRECTORY)
        do throws(IOError) {
            try LinuxDirectoryLock.lockDirectory(descriptor, LOCK_SH, directory)
            let lockFile = try LinuxDirectoryLock.lockFile(
                in: descriptor, of: directory, flags: O_RDONLY, kind: LOCK_SH)
            return LinuxSharedLock(descriptors: [descriptor] + (lockFile.map { [$0] } ?? []))
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    package func freeBytes(_ directory: String) throws(IOError) -> UInt64 {
        var status = statvfs()
        let root = self.root.withLock { $0 }
        while true {
            // Without opening it: the log asks this also when no descriptor is left.
            let result =
                if let root, root.path == directory {
                    fstatvfs(root.descriptor, &status)
                } else {
                    statvfs(directory, &status)
                }
            if result == 0 { break }
            guard errno == EINTR else { throw IOError(operation: "statvfs", subject: directory) }
        }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    package func canonicalPath(_ path: String) throws(IOError) -> String {
        guard let found = realpath(path, nil) else {
            throw IOError(operation: "realpath", subject: path)
        }
        defer { free(found) }
        return String(cString: found)
    }

    package func kind(_ directory: String) -> String {
        // Source: linux/magic.h.
        return switch linux_file_system_magic(directory) {
        case 0xEF53: "ext4"
        case 0x5846_5342: "xfs"
        case 0x9123_683E: "btrfs"
        case 0x0102_1994: "tmpfs"
        case 0x794C_7630: "overlay"
        case 0x6969: "nfs"
        case 0x6573_5546: "fuse"
        default: "unknown"
        }
    }

    private func openDirectory(_ path: String) throws(IOError) -> OpaquePointer {
        let descriptor = try self.open(path, O_RDONLY | O_DIRECTORY)
        // The stream owns the descriptor from here on.
        if let stream = fdopendir(descriptor) { return stream }
        let error = IOError(operation: "fdopendir", subject: path)
        Glibc.close(descriptor)
        throw error
    }

    /// Files are opened with `O_NOFOLLOW`; a directory that an operator names may be a link.
    private func open(_ path: String, _ flags: Int32) throws(IOError) -> Int32 {
        let found = self.resolve(path)
        while true {
            let descriptor = openat(
                found.directory, found.path, flags | O_CLOEXEC, Self.fileMode)
            if descriptor >= 0 { return descriptor }
            guard errno == EINTR else { throw IOError(operation: "open", subject: path) }
        }
    }
}
