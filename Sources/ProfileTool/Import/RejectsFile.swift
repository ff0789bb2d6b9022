import Glibc
import ProfileClient

/// The lines that an import has rejected, each as it was, after a comment with its number and the
/// reason: once mended, the file can be imported.
final class RejectsFile {
    private let path: String
    private let output: ConsoleOutput
    /// Bytes of all lines so far, also of earlier runs of this import.
    private(set) var bytes: Int

    /// - Parameter bytes: What earlier runs of this import have written, according to its position.
    ///   Anything beyond it comes from an interruption, or from another import, and is removed.
    /// - Throws: `FileFailure`, also if the file is the one that is imported.
    init(_ path: String, keeping bytes: Int, imported: LineReader) throws(FileFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure("--rejects \(path)", errno: errno) }
        self.path = path
        self.output = ConsoleOutput(descriptor: descriptor)
        self.bytes = bytes
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileFailure(path, errno: errno) }
        guard (UInt(status.st_dev), UInt(status.st_ino)) != imported.identity else {
            throw FileFailure("--rejects \(path): this is the file to be imported")
        }
        // Pipes and devices cannot be shortened.
        guard status.st_mode & S_IFMT == S_IFREG else { return }
        self.bytes = min(bytes, Int(status.st_size))
        guard ftruncate(descriptor, off_t(self.bytes)) == 0,
            lseek(descriptor, off_t(self.bytes), SEEK_SET) >= 0
        else { throw FileFailure(path, errno: errno) }
    }

    /// - Parameters:
    ///   - reason: On one line.
    ///   - line: Without its line break; `nil` if it is too long to be kept.
    ///   - header: Of a CSV file; stands before the first row.
    func append(
        _ source: String, _ number: Int, _ reason: String, line: [UInt8]?, header: [UInt8]?
    ) throws(FileFailure) {
        if self.bytes == 0, let header {
            self.output.write(header + [UInt8(ascii: "\n")])
            self.bytes += header.count + 1
        }
        var text = Array(TerminalText.safe("# \(source):\(number): \(reason)").utf8)
        text.append(UInt8(ascii: "\n"))
        if let line {
            text += line
            text.append(UInt8(ascii: "\n"))
        }
        self.output.write(text)
        self.bytes += text.count
        try self.check()
    }

    func close() throws(FileFailure) {
        self.output.close()
        try self.check()
    }

    private func check() throws(FileFailure) {
        if let failure = self.output.failure {
            throw FileFailure("--rejects \(self.path)", errno: failure)
        }
    }
}
