import Glibc
import ProfileClient

/// A file of the command line that cannot be read or written.
package struct FileFailure: Error, Equatable {
    package let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// - Parameters:
    ///   - subject: The path, or what people call it.
    ///   - errno: Of the system call that failed.
    init(_ subject: String, errno: Int32) {
        self.text = "\(subject): \(String(cString: strerror(errno)))"
    }
}

/// A whole small file, such as a position file.
enum SmallFile {
    /// - Parameter bytesMax: Larger files, and endless ones, are errors.
    /// - Returns: `nil` if there is no such file.
    static func read(_ path: String, bytesMax: Int) throws(FileFailure) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw FileFailure(path, errno: errno)
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                // SAFETY: the rest of the array, which outlives the call.
                Glibc.read(descriptor, $0.baseAddress! + done, $0.count - done)
            }
            if count == 0 { return Array(bytes[..<done]) }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw FileFailure(path, errno: errno)
            }
        }
        throw FileFailure("\(path): larger than \(bytesMax) bytes")
    }

    /// Removes a file that is of no use any more; one that stays is no failure.
    static func remove(_ path: String) { unlink(path) }

    /// Replaces a file by writing another one beside it and renaming that, so that an interruption
    /// leaves either version.
    static func write(_ path: String, _ text: String) throws(FileFailure) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure(temporary, errno: errno) }
        let output = ConsoleOutput(descriptor: descriptor)
        output.write(text)
        output.close()
        if let failure = output.failure {
            unlink(temporary)
            throw FileFailure(temporary, errno: failure)
        }
        guard rename(temporary, path) == 0 else { throw FileFailure(path, errno: errno) }
    }
}
