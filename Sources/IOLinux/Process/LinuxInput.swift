import Glibc
import IOCore

/// Reads what an operator names on a command line: a file, also through symbolic links, a FIFO, a
/// pipe such as /dev/stdin or /dev/fd/63, or a file of /proc, whose size is unknown.
package enum LinuxInput {
    /// Bytes that one read asks for.
    private static let chunkBytes = 16 << 10

    /// Reads from the start to the end, but at most `bytesMax` bytes; waits for a writer of a FIFO.
    ///
    /// - Throws: `IOError`, with `EISDIR` for a directory.
    /// - Complexity: O(bytes read).
    package static func read(_ path: String, bytesMax: Int) throws(IOError) -> [UInt8] {
        let descriptor = try Self.open(path)
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while content.count < bytesMax {
            let wanted = min(chunk.count, bytesMax - content.count)
            // SAFETY: the array owns its memory, and `wanted` is within its count.
            let count = chunk.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress, wanted)
            }
            if count == 0 { break }
            if count > 0 {
                content += chunk[..<count]
            } else if errno == EAGAIN {
                // A pipe that another process has made non-blocking.
                var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&watched, 1, -1)
            } else if errno != EINTR {
                throw IOError(operation: "read", subject: path)
            }
        }
        return content
    }

    private static func open(_ path: String) throws(IOError) -> Int32 {
        while true {
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
            if descriptor >= 0 { return descriptor }
            guard errno == EINTR else { throw IOError(operation: "open", subject: path) }
        }
    }
}
