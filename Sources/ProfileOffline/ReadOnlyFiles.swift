import IOCore
import IOLinux

/// A read-only file system. Calls that would change something are bugs, and trap.
///
/// It can also hide files, so that the same recovery shows what a start would do without them.
final class ReadOnlyFiles: FileSystem {
    private let files: any FileSystem
    private let hidden: Set<String>

    init(_ files: any FileSystem, hiding hidden: Set<String> = []) {
        self.files = files
        self.hidden = hidden
    }

    func list(_ directory: String) throws(IOError) -> [String] {
        try self.files.list(directory).filter { !self.hidden.contains($0) }
    }

    func open(_ path: String, _ access: FileAccess) throws(IOError) -> any File {
        precondition(access == .read, "the file system is read-only")
        return try self.files.open(path, .read)
    }

    func freeBytes(_ directory: String) throws(IOError) -> UInt64 {
        try self.files.freeBytes(directory)
    }
    func canonicalPath(_ path: String) throws(IOError) -> String {
        try self.files.canonicalPath(path)
    }
    func kind(_ directory: String) -> String { self.files.kind(directory) }

    func createDirectory(_ path: String) throws(IOError) {
        preconditionFailure("the file system is read-only")
    }
    func rename(_ source: String, to target: String) throws(IOError) {
        preconditionFailure("the file system is read-only")
    }
    func remove(_ path: String) throws(IOError) {
        preconditionFailure("the file system is read-only")
    }
    func syncDirectory(_ path: String) throws(IOError) {
        preconditionFailure("the file system is read-only")
    }
    func lockDirectory(_ directory: String) throws(IOError) -> any DirectoryLock {
        preconditionFailure("the file system is read-only")
    }
}
