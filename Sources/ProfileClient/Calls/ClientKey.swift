import Glibc

/// The key that a client sends: from a file or the environment, never from the command line, which
/// every process of the machine can read.
package enum ClientKey {
    /// Why there is no key to send.
    package struct Invalid: Error, Equatable {
        /// Names the file or variable, never what it holds.
        package let reason: String

        package init(reason: String) {
            self.reason = reason
        }
    }

    /// Longest key, in bytes; those of this service have 63.
    private static let bytesMax = 256

    /// The key of a client.
    ///
    /// - Parameters:
    ///   - file: Of `--key-file`, where an empty one is an error: a script whose variable is not
    ///     set shall not send another key. `nil`: the variables `PROFILES_KEY_FILE` and then
    ///     `PROFILES_KEY` count.
    ///   - environment: Of the process.
    /// - Returns: `nil`: none is configured.
    package static func find(file: String?, environment: [String: String]) throws(Invalid)
        -> String?
    {
        guard file != "" else { throw Invalid(reason: "--key-file: the path is empty") }
        if let file = file ?? environment["PROFILES_KEY_FILE"], !file.isEmpty {
            return try self.read(file)
        }
        guard let key = environment["PROFILES_KEY"], !key.isEmpty else { return nil }
        guard self.isKey(key.utf8) else { throw Invalid(reason: "PROFILES_KEY: not a key") }
        return key
    }

    /// Longest file, in bytes; the server's limit for a file of operators' keys, which serves
    /// clients too.
    private static let fileBytesMax = 64 << 10
    /// U+FEFF, which editors of Windows put before UTF-8.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// The first key of a file: blank lines, comments that begin with `#` and blanks around it are
    /// skipped, as the server skips them.
    private static func read(_ path: String) throws(Invalid) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw self.failure(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw self.failure(path) }
        if status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o007 != 0 {
            throw Invalid(reason: "\(path): everybody can read this key; chmod 600 it")
        }
        var bytes = [UInt8](repeating: 0, count: self.fileBytesMax + 1)
        var count = 0
        while count < bytes.count {
            let part = bytes.withUnsafeMutableBytes {
                // SAFETY: the rest of the array, which outlives the call.
                Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count)
            }
            if part == 0 { break }
            if part > 0 {
                count += part
            } else if errno != EINTR {
                throw self.failure(path)
            }
        }
        guard count <= self.fileBytesMax else {
            throw Invalid(reason: "\(path): more than \(self.fileBytesMax) bytes")
        }
        var text = bytes[..<count]
        if text.starts(with: self.byteOrderMark) { text.removeFirst(self.byteOrderMark.count) }
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let key = line.drop(while: isBlank).reversed().drop(while: isBlank).reversed()
            guard let first = key.first, first != UInt8(ascii: "#") else { continue }
            guard self.isKey(key) else {
                throw Invalid(reason: "\(path): line \(index + 1) is no key")
            }
            return String(decoding: key, as: UTF8.self)
        }
        throw Invalid(reason: "\(path): no key in it")
    }

    private static func failure(_ path: String) -> Invalid {
        Invalid(reason: "\(path): \(String(cString: strerror(errno)))")
    }

    /// Whether a text can be sent as a header: some printable characters without blanks.
    private static func isKey(_ key: some Collection<UInt8>) -> Bool {
        1 ... self.bytesMax ~= key.count && key.allSatisfy { 0x21 ... 0x7E ~= $0 }
    }
}
