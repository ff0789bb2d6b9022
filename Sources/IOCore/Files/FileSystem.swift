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

/// A lock that is held until `release` or the end of the process.
package protocol DirectoryLock: AnyObject, Sendable {
    func release()
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
    /// Takes the exclusive lock `path` and creates the file if needed; throws `.locked` if another
    /// process holds it.
    func lock(_ path: String) throws(IOError) -> any DirectoryLock
    /// Bytes that can still be written.
    func freeBytes(_ directory: String) throws(IOError) -> UInt64
    /// The absolute path of an existing file or directory, without links, `.` and `..`.
    func canonicalPath(_ path: String) throws(IOError) -> String
    /// The type of the file system, such as `ext4` or `tmpfs`; `unknown` for any that is not
    /// listed.
    func kind(_ directory: String) -> String
}
