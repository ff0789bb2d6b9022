import Glibc
import IOCore

/// Reads files that only their owner may have access to.
package enum LinuxSecretFile {
    /// Why a file is not read.
    package enum Failure: Error, Equatable, CustomStringConvertible {
        case unreadable(IOError)
        /// A directory, a FIFO or a device.
        case notAFile
        /// Others have access to it; its permissions.
        case open(mode: UInt32)
        /// Everybody can write it; its permissions.
        case writable(mode: UInt32)
        /// It belongs to somebody who is neither this process nor root.
        case foreign(owner: UInt32)

        package var description: String {
            switch self {
            case .unreadable(let error): error.explanation
            case .notAFile: "not a regular file"
            case .open(let mode):
                "others than its owner have access to it (mode \(String(mode, radix: 8))); "
                    + "chmod 600 it, and make new keys if somebody may have read these"
            case .writable(let mode):
                "everybody can write it (mode \(String(mode, radix: 8))); chmod 644 it"
            case .foreign(let owner): "it belongs to another user (\(owner))"
            }
        }
    }

    /// Reads the file to its end, but at most `bytesMax` bytes. Follows symbolic links, as
    /// orchestrators mount secrets behind them; permissions are those of the file itself. The
    /// caller overwrites the content.
    ///
    /// Does not wait: a FIFO is rejected, not read.
    ///
    /// - Complexity: O(bytes read).
    package static func read(_ path: String, bytesMax: Int) throws(Failure) -> [UInt8] {
        try self.read(path, bytesMax: bytesMax) { mode throws(Failure) in
            guard mode & 0o077 == 0 else { throw .open(mode: mode & 0o7777) }
        }
    }

    /// The same for a file that others may read, such as a certificate, and must not change.
    package static func readPublic(
        _ path: String, bytesMax: Int
    ) throws(Failure) -> [UInt8] {
        try self.read(path, bytesMax: bytesMax) { mode throws(Failure) in
            guard mode & 0o002 == 0 else { throw .writable(mode: mode & 0o7777) }
        }
    }

    private static func read(
        _ path: String, bytesMax: Int, examine: (UInt32) throws(Failure) -> Void
    ) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .unreadable(IOError(operation: "open", subject: path))
        }
        defer { close(descriptor) }
        // Of the open file: it is the one that is read, whatever takes its name meanwhile.
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .unreadable(IOError(operation: "fstat", subject: path))
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile }
        try examine(status.st_mode)
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw .foreign(owner: status.st_uid)
        }
        // One allocation: a buffer that grows leaves copies of the secret behind.
        var content = [UInt8](repeating: 0, count: bytesMax)
        var count = 0
        while count < bytesMax {
            // SAFETY: the array owns its memory, and the read is within its count.
            let read = content.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress! + count, bytesMax - count)
            }
            if read == 0 { break }
            if read > 0 {
                count += read
            } else if errno != EINTR {
                throw .unreadable(IOError(operation: "read", subject: path))
            }
        }
        content.removeLast(bytesMax - count)
        return content
    }
}
