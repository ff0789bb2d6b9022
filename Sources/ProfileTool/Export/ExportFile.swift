import Glibc
import ProfileClient

/// The file of an export: it has its name once it is complete, and until then that of a part.
final class ExportFile {
    private let path: String
    private let partPath: String
    private let descriptor: Int32
    private let output: ConsoleOutput
    private(set) var bytes: Int

    /// Begins the part anew, or goes on behind its first bytes; what follows them was cut off.
    ///
    /// - Throws: `FileFailure`, also if the part has fewer bytes.
    init(_ path: String, keeping bytes: Int) throws(FileFailure) {
        self.path = path
        self.partPath = path + ".part"
        self.bytes = bytes
        let descriptor = open(self.partPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileFailure("--out \(self.partPath)", errno: errno) }
        self.descriptor = descriptor
        self.output = ConsoleOutput(descriptor: descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw FileFailure(self.partPath, errno: errno)
        }
        guard Int(status.st_size) >= bytes else {
            throw FileFailure(
                "\(self.partPath): \(status.st_size) bytes, its position is behind \(bytes); "
                    + "delete both to begin anew")
        }
        guard ftruncate(descriptor, off_t(bytes)) == 0,
            lseek(descriptor, off_t(bytes), SEEK_SET) >= 0
        else { throw FileFailure(self.partPath, errno: errno) }
    }

    func write(_ text: String) throws(FileFailure) {
        self.output.write(text)
        self.bytes += text.utf8.count
        try self.check()
    }

    /// Makes what was written durable, so that a position may name it.
    func sync() throws(FileFailure) {
        guard fsync(self.descriptor) == 0 else { throw FileFailure(self.partPath, errno: errno) }
    }

    /// Gives the file its name: all of it is written.
    func complete() throws(FileFailure) {
        try self.sync()
        self.output.close()
        try self.check()
        guard rename(self.partPath, self.path) == 0 else {
            throw FileFailure("--out \(self.path)", errno: errno)
        }
    }

    private func check() throws(FileFailure) {
        if let failure = self.output.failure {
            throw FileFailure("--out \(self.partPath)", errno: failure)
        }
    }
}
