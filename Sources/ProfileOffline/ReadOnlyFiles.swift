import IOCore
import IOLinux

/// The files of a directory that must not change: what would change something is a mistake of ours,
/// and traps.
///
/// It can also hide names, so that the same recovery shows what a start would do without those
/// files.
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
        precondition(access == .read, "nothing is written here")
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
        preconditionFailure("nothing is written here")
    }
    func rename(_ source: String, to target: String) throws(IOError) {
        preconditionFailure("nothing is written here")
    }
    func remove(_ path: String) throws(IOError) { preconditionFailure("nothing is written here") }
    func syncDirectory(_ path: String) throws(IOError) {
        preconditionFailure("nothing is written here")
    }
    func lock(_ path: String) throws(IOError) -> any DirectoryLock {
        preconditionFailure("nothing is written here")
    }
}
