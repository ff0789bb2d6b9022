#if CANARIES
    import Bytes
    import IOCore

    /// A file system that leaves out the syncs that the active canary leaves out.
    ///
    /// A wrapper and not a property of `SimulatedDisk`: the disk stays right, and only the program
    /// above it forgets something.
    final class SabotagedFileSystem: FileSystem {
        private let files: any FileSystem

        init(_ files: any FileSystem) {
            self.files = files
        }

        func open(_ path: String, _ access: FileAccess) throws(IOError) -> any File {
            SabotagedFile(try self.files.open(path, access))
        }

        func syncDirectory(_ path: String) throws(IOError) {
            guard !Canary.directorySyncSkipped.isActive else { return }
            try self.files.syncDirectory(path)
        }

        func createDirectory(_ path: String) throws(IOError) {
            try self.files.createDirectory(path)
        }

        func list(_ directory: String) throws(IOError) -> [String] {
            try self.files.list(directory)
        }

        func rename(_ source: String, to target: String) throws(IOError) {
            try self.files.rename(source, to: target)
        }

        func remove(_ path: String) throws(IOError) { try self.files.remove(path) }

        func lockDirectory(_ directory: String) throws(IOError) -> any DirectoryLock {
            try self.files.lockDirectory(directory)
        }

        func freeBytes(_ directory: String) throws(IOError) -> UInt64 {
            try self.files.freeBytes(directory)
        }

        func canonicalPath(_ path: String) throws(IOError) -> String {
            try self.files.canonicalPath(path)
        }

        func kind(_ directory: String) -> String { self.files.kind(directory) }
    }

    /// A file of a `SabotagedFileSystem`.
    private final class SabotagedFile: File {
        private let file: any File

        init(_ file: any File) {
            self.file = file
        }

        var path: String { self.file.path }

        func sync() throws(IOError) {
            let isSnapshot = self.path.contains(".snapshot")
            guard !(isSnapshot ? Canary.snapshotSyncSkipped : .logSyncSkipped).isActive else {
                return
            }
            try self.file.sync()
        }

        func size() throws(IOError) -> Int { try self.file.size() }

        // SAFETY: the caller's buffers are handed on for this call only, as `File` asks.
        func read(
            into target: UnsafeMutableRawBufferPointer, at offset: Int
        ) throws(IOError) -> Int {
            try self.file.read(into: target, at: offset)
        }

        func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(IOError) {
            try self.file.write(source, at: offset)
        }

        func dropCache() { self.file.dropCache() }

        func truncate(to size: Int) throws(IOError) { try self.file.truncate(to: size) }

        func close() { self.file.close() }
    }
#endif
