// The lock is on the directory itself, because a lock file can be removed: the next process would
// make and lock a new one. The lock file is held as well, for releases that know nothing else.

import Glibc
import IOCore

/// The exclusive use of a directory, by flock(2) on the directory and on its lock file.
final class LinuxDirectoryLock: DirectoryLock {
    private struct State {
        /// The lock file; `nil`: there is none yet.
        var lockFile: Int32?
        var isClaimed = false
        var isReleased = false
    }

    private let path: String
    /// The locked directory.
    private let descriptor: Int32
    /// Directories that were created for it, the outermost first.
    private let created: [String]
    private let onRelease: @Sendable () -> Void
    private let state: Guarded<State>

    /// - Parameters:
    ///   - descriptor: The open directory, which is locked already.
    ///   - onRelease: Called before the directory is given back.
    /// - Throws: `.locked` if another process holds the lock file; the caller closes `descriptor`.
    init(
        path: String, descriptor: Int32, created: [String],
        onRelease: @escaping @Sendable () -> Void
    ) throws(IOError) {
        self.path = path
        self.descriptor = descriptor
        self.created = created
        self.onRelease = onRelease
        let lockFile = try Self.lockFile(in: descriptor, of: path, flags: O_RDWR)
        self.state = Guarded(State(lockFile: lockFile))
    }

    func claim() throws(IOError) {
        let failure = self.state.withLock { state -> IOError? in
            state.isClaimed = true
            guard state.lockFile == nil else { return nil }
            do throws(IOError) {
                state.lockFile = try Self.lockFile(
                    in: self.descriptor, of: self.path, flags: O_RDWR | O_CREAT)
                return nil
            } catch {
                return error
            }
        }
        // Without space there is no lock file yet; the directory is locked without it, and
        // `examine` makes it later.
        if let failure, failure.kind != .noSpace { throw failure }
    }

    func examine() -> DirectoryHold {
        var (own, found) = (stat(), stat())
        // Both now: some file systems change the number of an open directory.
        guard fstat(self.descriptor, &own) == 0, stat(self.path, &found) == 0 else { return .gone }
        guard own.st_dev == found.st_dev, own.st_ino == found.st_ino else { return .replaced }
        return self.state.withLock { state in
            guard state.isClaimed, !state.isReleased else { return .held }
            return self.examineLockFile(&state)
        }
    }

    /// Takes the lock file again if it was removed or replaced: a release that locks nothing else
    /// may have come in through that.
    private func examineLockFile(_ state: inout State) -> DirectoryHold {
        var (own, found) = (stat(), stat())
        if let lockFile = state.lockFile, fstat(lockFile, &own) == 0,
            fstatat(self.descriptor, LockFile.name, &found, AT_SYMLINK_NOFOLLOW) == 0,
            own.st_dev == found.st_dev, own.st_ino == found.st_ino
        {
            return .held
        }
        do throws(IOError) {
            let again = try Self.lockFile(
                in: self.descriptor, of: self.path, flags: O_RDWR | O_CREAT)
            if let lockFile = state.lockFile { close(lockFile) }
            state.lockFile = again
            return .held
        } catch {
            return error.kind == .locked ? .shared : .held
        }
    }

    func release() {
        let (last, isFirst) = self.state.withLock { state -> (State, Bool) in
            defer {
                state.isReleased = true
                state.lockFile = nil
            }
            return (state, !state.isReleased)
        }
        guard isFirst else { return }
        self.onRelease()
        if !last.isClaimed {
            // Before the lock is given back, and only what is empty: nobody else's files go.
            for directory in self.created.reversed() { rmdir(directory) }
        }
        if let lockFile = last.lockFile { close(lockFile) }
        close(self.descriptor)
    }

    /// Opens and locks the lock file of a directory.
    ///
    /// - Returns: `nil` if there is none and `flags` do not create one.
    static func lockFile(
        in directory: Int32, of path: String, flags: Int32, kind: Int32 = LOCK_EX
    ) throws(IOError) -> Int32? {
        let descriptor = openat(
            directory, LockFile.name, flags | O_CLOEXEC | O_NOFOLLOW, LinuxFileSystem.fileMode)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw IOError(operation: "open", subject: "\(path)/\(LockFile.name)")
        }
        do throws(IOError) {
            try Self.lock(descriptor, kind, path)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// - Throws: `.locked` if another process holds it.
    static func lock(_ descriptor: Int32, _ kind: Int32, _ path: String) throws(IOError) {
        guard flock(descriptor, kind | LOCK_NB) != 0 else { return }
        let code = errno
        guard code == EWOULDBLOCK else {
            throw IOError(operation: "flock", subject: path, errno: code)
        }
        throw IOError(.locked, operation: "flock", subject: path, code: code)
    }

    /// Locks an open directory.
    ///
    /// - Throws: `.locked` if another process holds it.
    static func lockDirectory(_ descriptor: Int32, _ kind: Int32, _ path: String) throws(IOError) {
        do throws(IOError) {
            try Self.lock(descriptor, kind, path)
        } catch {
            // NFS emulates flock by a lock that needs a file open for writing, which a directory
            // never is: there the lock file alone excludes others.
            guard [EBADF, ENOLCK, EOPNOTSUPP, EINVAL].contains(error.code) else { throw error }
        }
    }
}

/// Keeps servers away from a directory that is only read; several readers may have one each.
final class LinuxSharedLock: DirectoryLock {
    private let descriptors: [Int32]
    private let isReleased = Guarded(false)

    init(descriptors: [Int32]) {
        self.descriptors = descriptors
    }

    /// A reader creates nothing.
    func claim() throws(IOError) {}

    /// What was read stays what it is, wherever the path leads to meanwhile.
    func examine() -> DirectoryHold { .held }

    func release() {
        let isFirst = self.isReleased.withLock { isReleased in
            defer { isReleased = true }
            return !isReleased
        }
        guard isFirst else { return }
        for descriptor in self.descriptors { close(descriptor) }
    }
}
