import IOCore

/// What opening a log needs to know of its surroundings.
package struct LogEnvironment {
    package var directory: String
    package var fileSystem: any FileSystem
    package var clock: any Clock
    package var options: LogOptions
    /// Held on the directory, and examined while the log is written; `nil`: the caller keeps others
    /// away.
    package var lock: (any DirectoryLock)?
    /// Woken when the next segment should be prepared; `nil`: none is.
    package var preparerWaker: (any Waker)?

    package init(
        directory: String, fileSystem: any FileSystem, clock: any Clock, options: LogOptions,
        preparerWaker: (any Waker)? = nil
    ) {
        self.directory = directory
        self.fileSystem = fileSystem
        self.clock = clock
        self.options = options
        self.preparerWaker = preparerWaker
    }
}

/// The first frame of a new directory.
package struct LogGenesis {
    package var directoryID: DirectoryID
    /// Its first lsn is 1, and it names no results.
    package var frame: LogFrame

    package init(directoryID: DirectoryID, frame: LogFrame) {
        self.directoryID = directoryID
        self.frame = frame
    }
}
