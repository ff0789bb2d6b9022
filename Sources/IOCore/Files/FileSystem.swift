// The interface to files. The log, its recovery and the snapshots use nothing else, so that a
// simulated disk can replace a real one.

/// How a file is opened.
package enum FileAccess: Equatable, Sendable {
    case read
    /// Read and write; the file exists.
    case update
    /// Read and write; the file must not exist.
    case create
}

/// An open file. Used by one thread at a time.
package protocol File: AnyObject {
    /// Its path, for errors.
    var path: String { get }
    /// Length in bytes.
    func size() throws(IOError) -> Int
    // SAFETY: the caller owns `target` and `source`; an implementation stays within their counts
    // and keeps no pointer after the call.
    /// Reads up to `target.count` bytes at `offset`; fewer only at the end of the file.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOError) -> Int
    /// Writes all of `source` at `offset`; after an error any part of it may have been written.
    func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(IOError)
    /// Makes content and length durable (fdatasync). After an error the state of all earlier
    /// unsynced writes is unknown.
    func sync() throws(IOError)
    /// Asks the system to drop the file's cached pages, so that later reads come from the disk;
    /// call `sync` first.
    func dropCache()
    /// Shortens or extends the file to `size` bytes.
    func truncate(to size: Int) throws(IOError)
    /// Closes it; once only.
    func close()
}

/// Whether a locked directory is still the one that its path leads to, and only this process's.
package enum DirectoryHold: Equatable, Sendable {
    case held
    /// The path leads nowhere: the directory was removed or renamed.
    case gone
    /// The path leads to another directory.
    case replaced
    /// Another process holds the lock file beside the lock of the directory.
    case shared
}

/// The exclusive use of a directory, until `release` or the end of the process. Safe to use from
/// several threads.
package protocol DirectoryLock: AnyObject, Sendable {
    /// Makes the lock file where it is missing: from now on the directory is in use, and `release`
    /// leaves it as it is then.
    func claim() throws(IOError)
    /// Looks again at what the path leads to, and takes the lock file again if it was removed.
    ///
    /// - Complexity: Three system calls.
    func examine() -> DirectoryHold
    /// Gives the directory back; without a `claim` before, it removes what taking the lock created.
    func release()
}

/// The file in a locked directory by which releases that do not lock the directory itself, and
/// people, see that it is in use.
package enum LockFile {
    package static let name = "LOCK"
}

/// A file system below one directory tree. Safe to use from several threads.
package protocol FileSystem: AnyObject, Sendable {
    /// Creates a directory (0700) and its missing parents, durably.
    func createDirectory(_ path: String) throws(IOError)
    /// Names in a directory, in ascending byte order.
    func list(_ directory: String) throws(IOError) -> [String]
    /// Opens a file (0600 when created), never through a symbolic link.
    func open(_ path: String, _ access: FileAccess) throws(IOError) -> any File
    /// Atomically replaces `target` with `source`; durable after `syncDirectory`.
    func rename(_ source: String, to target: String) throws(IOError)
    /// Removes a file; durable after `syncDirectory`.
    func remove(_ path: String) throws(IOError)
    /// Makes creations, renames and removals in a directory durable.
    func syncDirectory(_ path: String) throws(IOError)
    /// Creates a directory where it is missing and takes the exclusive use of it. From now on every
    /// path below `directory` means the locked directory, wherever that is moved to.
    ///
    /// - Throws: `.locked` if another process uses it; nothing was created then.
    func lockDirectory(_ directory: String) throws(IOError) -> any DirectoryLock
    /// Bytes that can still be written.
    func freeBytes(_ directory: String) throws(IOError) -> UInt64
    /// The absolute path of an existing file or directory, without links, `.` and `..`.
    func canonicalPath(_ path: String) throws(IOError) -> String
    /// The type of the file system, such as `ext4` or `tmpfs`; `unknown` for any that is not
    /// listed.
    func kind(_ directory: String) -> String
}
