import CLinux
import Glibc
import IOCore

/// The file system of Linux.
package final class LinuxFileSystem: FileSystem {
    private static let directoryMode: mode_t = 0o700
    private static let fileMode: mode_t = 0o600

    package init() {}

    package func createDirectory(_ path: String) throws(IOError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            let parent = prefix.isEmpty ? "." : prefix
            prefix += part + "/"
            guard mkdir(prefix, Self.directoryMode) != 0 else {
                // If the entry of a directory is lost, so is everything in it, synced or not.
                try self.syncDirectory(parent)
                continue
            }
            guard errno == EEXIST else { throw IOError(operation: "mkdir", subject: prefix) }
        }
    }

    package func list(_ directory: String) throws(IOError) -> [String] {
        let stream = try Self.openDirectory(directory)
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
        return LinuxFile(path: path, descriptor: try Self.open(path, flags))
    }

    package func rename(_ source: String, to target: String) throws(IOError) {
        guard Glibc.rename(source, target) == 0 else {
            throw IOError(operation: "rename", subject: source)
        }
    }

    package func remove(_ path: String) throws(IOError) {
        guard unlink(path) == 0 else { throw IOError(operation: "unlink", subject: path) }
    }

    package func syncDirectory(_ path: String) throws(IOError) {
        let descriptor = try Self.open(path, O_RDONLY | O_DIRECTORY)
        defer { Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw IOError(operation: "fsync", subject: path) }
    }

    package func lock(_ path: String) throws(IOError) -> any DirectoryLock {
        try Self.lock(try Self.open(path, O_RDWR | O_CREAT), LOCK_EX, path)
    }

    private static func lock(_ descriptor: Int32, _ kind: Int32, _ path: String) throws(IOError)
        -> any DirectoryLock
    {
        guard flock(descriptor, kind | LOCK_NB) == 0 else {
            let code = errno
            Glibc.close(descriptor)
            if code == EWOULDBLOCK {
                throw IOError(.locked, operation: "flock", subject: path, code: code)
            }
            throw IOError(operation: "flock", subject: path, errno: code)
        }
        return LinuxDirectoryLock(descriptor: descriptor)
    }

    /// Takes a shared lock on an existing lock file, opened read-only: readers do not exclude each
    /// other, but they exclude a writer.
    ///
    /// - Returns: `nil` if there is no such file.
    /// - Throws: `.locked` if another process holds the exclusive lock.
    package func lockShared(_ path: String) throws(IOError) -> (any DirectoryLock)? {
        let descriptor: Int32
        do throws(IOError) { descriptor = try Self.open(path, O_RDONLY) } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
        return try Self.lock(descriptor, LOCK_SH, path)
    }

    package func freeBytes(_ directory: String) throws(IOError) -> UInt64 {
        var status = statvfs()
        while statvfs(directory, &status) != 0 {
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

    private static func openDirectory(_ path: String) throws(IOError) -> OpaquePointer {
        while true {
            if let stream = opendir(path) { return stream }
            guard errno == EINTR else { throw IOError(operation: "opendir", subject: path) }
        }
    }

    private static func open(_ path: String, _ flags: Int32) throws(IOError) -> Int32 {
        while true {
            let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, Self.fileMode)
            if descriptor >= 0 { return descriptor }
            guard errno == EINTR else { throw IOError(operation: "open", subject: path) }
        }
    }
}
