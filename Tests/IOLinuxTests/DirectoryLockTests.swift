import Foundation
import Glibc
import IOCore
import IOLinux
import Testing

/// The lock of a data directory on the machine's own file system (L14).
@Suite struct DirectoryLockTests {
    /// - Parameter body: Gets the path of an existing, empty directory.
    private static func withRoot(_ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent(
            "profiles-lock-\(UUID().uuidString)"
        ).path
        try #require(mkdir(root, 0o700) == 0)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try body(root)
    }

    private static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Whether another process could use the directory.
    private static func isFree(_ path: String) throws -> Bool {
        do throws(IOError) {
            try LinuxFileSystem().lockDirectory(path).release()
            return true
        } catch {
            guard error.kind == .locked else { throw error }
            return false
        }
    }

    @Test func L14_removingTheLockFileLetsNoSecondProcessIn() throws {
        try Self.withRoot { root in
            let path = root + "/data"
            let lock = try LinuxFileSystem().lockDirectory(path)
            try lock.claim()
            try #require(unlink(path + "/LOCK") == 0)
            #expect(try !Self.isFree(path))
            #expect(lock.examine() == .held)
            #expect(Self.exists(path + "/LOCK"), "it is made again for releases that know no other")
            lock.release()
            #expect(try Self.isFree(path))
        }
    }

    @Test func L14_directoryIsLockedUnderEachOfItsPaths() throws {
        try Self.withRoot { root in
            try #require(mkdir(root + "/data", 0o700) == 0)
            try #require(symlink(root + "/data", root + "/link") == 0)
            let lock = try LinuxFileSystem().lockDirectory(root + "/link")
            #expect(try !Self.isFree(root + "/data"))
            #expect(try !Self.isFree(root + "/link"))
            #expect(lock.examine() == .held)
            lock.release()
        }
    }

    @Test func L14_movedOrReplacedDirectoryIsSeen() throws {
        try Self.withRoot { root in
            let path = root + "/data"
            let lock = try LinuxFileSystem().lockDirectory(path)
            defer { lock.release() }
            try lock.claim()
            try #require(rename(path, root + "/moved") == 0)
            #expect(lock.examine() == .gone)
            try #require(mkdir(path, 0o700) == 0)
            #expect(lock.examine() == .replaced)
            try #require(rmdir(path) == 0 && rename(root + "/moved", path) == 0)
            #expect(lock.examine() == .held)
        }
    }

    @Test func L14_linkThatLeadsElsewhereNowIsSeen() throws {
        try Self.withRoot { root in
            for name in ["/a", "/b"] { try #require(mkdir(root + name, 0o700) == 0) }
            try #require(symlink(root + "/a", root + "/data") == 0)
            let lock = try LinuxFileSystem().lockDirectory(root + "/data")
            defer { lock.release() }
            #expect(lock.examine() == .held)
            try #require(unlink(root + "/data") == 0 && symlink(root + "/b", root + "/data") == 0)
            #expect(lock.examine() == .replaced)
        }
    }

    @Test func L14_processThatHoldsOnlyANewLockFileIsSeen() throws {
        try Self.withRoot { root in
            // A release that locks nothing but the file, after somebody removed it.
            let path = root + "/data"
            let lock = try LinuxFileSystem().lockDirectory(path)
            defer { lock.release() }
            try lock.claim()
            try #require(unlink(path + "/LOCK") == 0)
            let other = open(path + "/LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(other) }
            try #require(flock(other, LOCK_EX | LOCK_NB) == 0)
            #expect(lock.examine() == .shared)
            #expect(try !Self.isFree(path))
        }
    }

    @Test func L14_filesStayInTheLockedDirectoryWhenAnotherTakesItsPath() throws {
        try Self.withRoot { root in
            let path = root + "/data"
            let files = LinuxFileSystem()
            let lock = try files.lockDirectory(path)
            defer { lock.release() }
            try #require(rename(path, root + "/moved") == 0 && mkdir(path, 0o700) == 0)
            close(open(path + "/theirs", O_CREAT | O_CLOEXEC, 0o600))
            try files.open(path + "/ours.tmp", .create).close()
            try files.rename(path + "/ours.tmp", to: path + "/ours")
            try files.syncDirectory(path)
            #expect(try files.list(path) == ["ours"])
            #expect(Self.exists(root + "/moved/ours"))
            #expect(throws: IOError.self) { try files.remove(path + "/theirs") }
            #expect(Self.exists(path + "/theirs"))
            try files.remove(path + "/ours")
            #expect(try files.list(path).isEmpty)
            #expect(try LinuxFileSystem().list(path) == ["theirs"])
        }
    }

    @Test func rejectedStartLeavesNothingBehind() throws {
        try Self.withRoot { root in
            // A directory that was missing, with its parents.
            let lock = try LinuxFileSystem().lockDirectory(root + "/above/data")
            #expect(Self.exists(root + "/above/data"))
            lock.release()
            #expect(!Self.exists(root + "/above"))
            // One that was there: not even a lock file comes and goes.
            try #require(mkdir(root + "/data", 0o700) == 0)
            var before = stat()
            stat(root + "/data", &before)
            try LinuxFileSystem().lockDirectory(root + "/data").release()
            var after = stat()
            stat(root + "/data", &after)
            #expect(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec)
            // One that somebody else filled meanwhile.
            let second = try LinuxFileSystem().lockDirectory(root + "/other")
            close(open(root + "/other/file", O_CREAT | O_CLOEXEC, 0o600))
            second.release()
            #expect(Self.exists(root + "/other/file"))
        }
    }

    @Test func lockedDirectoryIsNotCreatedAnew() throws {
        try Self.withRoot { root in
            let path = root + "/data"
            let lock = try LinuxFileSystem().lockDirectory(path)
            #expect(try !Self.isFree(path))
            #expect(Self.exists(path), "whoever was refused removes nothing")
            lock.release()
        }
    }

    @Test func L14_readersExcludeWritersAndNotEachOther() throws {
        try Self.withRoot { root in
            let path = root + "/data"
            try #require(mkdir(path, 0o700) == 0)
            let files = LinuxFileSystem()
            let readers = try [files.lockShared(path), files.lockShared(path)]
            #expect(try !Self.isFree(path))
            #expect(try files.list(path).isEmpty, "a reader creates nothing")
            for reader in readers { reader.release() }
            let writer = try LinuxFileSystem().lockDirectory(path)
            try writer.claim()
            try #require(unlink(path + "/LOCK") == 0)
            #expect(throws: IOError.self) { _ = try files.lockShared(path) }
            writer.release()
            try files.lockShared(path).release()
        }
    }
}
