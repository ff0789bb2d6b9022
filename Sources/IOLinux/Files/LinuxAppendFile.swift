import Glibc
import IOCore

/// A file, FIFO or device to whose end whole lines are written. Used by one thread at a time.
///
/// A file that does not exist is created, with 0600. The last part of the path is never a symbolic
/// link: somebody who may write into the folder must not choose which file of this user grows.
package final class LinuxAppendFile: Sendable {
    /// How a write ended.
    package enum Outcome: Equatable, Sendable {
        case written
        /// Nobody reads, or the disk is full: nothing of it was written; try again later.
        case blocked
        /// Nobody can receive it: the reader has gone, or the file cannot be written.
        case lost
    }

    private let descriptor: Int32
    private let isRegular: Bool

    /// Opens or creates it. Does not wait for the reader of a FIFO.
    ///
    /// - Throws: `IOError`; `ELOOP` for a symbolic link, `EISDIR` for a directory.
    package init(_ path: String) throws(IOError) {
        let flags = O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        var descriptor = open(path, flags | O_WRONLY, LinuxFileSystem.fileMode)
        // A FIFO without a reader opens for both only; its lines wait for one.
        if descriptor < 0, errno == ENXIO { descriptor = open(path, flags | O_RDWR) }
        guard descriptor >= 0 else { throw IOError(operation: "open", subject: path) }
        var status = stat()
        fstat(descriptor, &status)
        self.descriptor = descriptor
        self.isRegular = status.st_mode & S_IFMT == S_IFREG
    }

    /// Whether `init` would succeed, as far as that can be told without creating or opening
    /// anything.
    ///
    /// - Throws: `IOError`, of the kind that `init` throws.
    package static func check(_ path: String) throws(IOError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw IOError(operation: "open", subject: path) }
            return try self.checkFolder(of: path)
        }
        let code: Int32? =
            switch status.st_mode & S_IFMT {
            case S_IFLNK: ELOOP
            case S_IFDIR: EISDIR
            case S_IFSOCK: ENXIO
            default: access(path, W_OK) == 0 ? nil : errno
            }
        if let code { throw IOError(operation: "open", subject: path, errno: code) }
    }

    /// A file that is not there yet needs a folder in which it can be created.
    private static func checkFolder(of path: String) throws(IOError) {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else {
            throw IOError(operation: "open", subject: path)
        }
    }

    deinit {
        close(self.descriptor)
    }

    /// Writes a line as a whole or not at all.
    ///
    /// - Parameters:
    ///   - line: At most `LinuxOutput.atomicBytes`, which a pipe takes as a whole.
    ///   - milliseconds: Longest wait for a reader; also how long it waits before it says that a
    ///     disk is full.
    package func append(
        _ line: UnsafeRawBufferPointer, waitingAtMost milliseconds: Int32
    ) -> Outcome {
        var watched = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&watched, 1, milliseconds) == 0 { return .blocked }
        // SAFETY: pointer and count are of the caller's buffer, which outlives the call.
        let count = write(self.descriptor, line.baseAddress, line.count)
        guard count != line.count else { return .written }
        let code = count < 0 ? errno : ENOSPC
        if count > 0 { self.removePart(count) }
        switch code {
        case EAGAIN, EINTR: return .blocked
        case ENOSPC, EDQUOT, EFBIG:
            poll(nil, 0, milliseconds)
            return .blocked
        default: return .lost
        }
    }

    /// Removes the part of a line for which a full disk had space.
    private func removePart(_ count: Int) {
        var status = stat()
        guard self.isRegular, fstat(self.descriptor, &status) == 0 else { return }
        _ = ftruncate(self.descriptor, max(0, status.st_size - off_t(count)))
    }
}
