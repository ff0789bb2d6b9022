import Glibc

/// Reads the lines of a file, pipe, terminal or descriptor once, with bounded memory.
///
/// Used by one thread.
package final class LineReader {
    /// One line without its line break.
    package enum Line: Equatable {
        case text([UInt8])
        /// A line of more than `lineBytesMax` bytes, which was skipped.
        case tooLong(bytes: Int)
    }

    /// Longest line, in bytes without its line break: the size of the largest message of the
    /// service, since no operation is larger.
    package static let lineBytesMax = 4 << 20
    private static let chunkBytes = 64 << 10

    /// The path, or `standard input`.
    package let name: String
    /// Size in bytes of a regular file; `nil` for sources whose end is not known.
    package let regularFileBytes: Int?
    /// Device and inode.
    let identity: (UInt, UInt)
    /// Over the lines returned so far, with their lengths, in the manner of FNV-1a; distinguishes
    /// files, and beginnings of files. Independent of how the bytes arrived.
    package private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    private let descriptor: Int32
    private let ownsDescriptor: Bool
    private var chunk = [UInt8](repeating: 0, count: LineReader.chunkBytes)
    /// The unread part of the chunk.
    private var unread = 0 ..< 0
    private var isAtEnd = false
    private var isAtStart = true

    /// - Parameter path: `-` for standard input.
    /// - Throws: `FileFailure`, also for a directory.
    package init(path: String) throws(FileFailure) {
        // Opening /dev/stdin fails if it is a socket, and would begin at the start of a file.
        let isStandardInput = path == "-" || path == "/dev/stdin"
        self.name = path == "-" ? "standard input" : path
        self.ownsDescriptor = !isStandardInput
        self.descriptor = isStandardInput ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0 else { throw FileFailure(self.name, errno: errno) }
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else {
            throw FileFailure(self.name, errno: errno)
        }
        let kind = status.st_mode & S_IFMT
        guard kind != S_IFDIR else { throw FileFailure(self.name, errno: EISDIR) }
        self.regularFileBytes = kind == S_IFREG ? Int(status.st_size) : nil
        self.identity = (UInt(status.st_dev), UInt(status.st_ino))
    }

    deinit {
        if self.ownsDescriptor, self.descriptor >= 0 { close(self.descriptor) }
    }

    /// The next line; `nil` at the end. The last line may lack its line break.
    ///
    /// A byte order mark of UTF-8 at the beginning is skipped.
    ///
    /// - Throws: `FileFailure` if the source cannot be read, or is UTF-16 or UTF-32.
    /// - Complexity: O(bytes of the line); memory of at most `lineBytesMax`.
    package func next() throws(FileFailure) -> Line? {
        if self.isAtStart { try self.readStart() }
        var line: [UInt8] = []
        var bytes = 0
        var isComplete = false
        repeat {
            if self.unread.isEmpty {
                guard try self.fill() else { break }
            }
            let piece: Range<Int>
            (piece, isComplete) = self.takePiece()
            // A line that is too long is kept up to the limit until its end, for the digest.
            line += self.chunk[piece.prefix(Self.lineBytesMax - line.count)]
            bytes += piece.count
        } while !isComplete
        guard isComplete || bytes > 0 else { return nil }
        self.updateDigest(line, bytes: bytes)
        return bytes > Self.lineBytesMax ? .tooLong(bytes: bytes) : .text(line)
    }

    /// Removes the bytes up to the next line feed, or all, from the unread part.
    private func takePiece() -> (piece: Range<Int>, endsLine: Bool) {
        let unread = self.unread
        let end = self.chunk.withUnsafeBytes { bytes in
            // SAFETY: `unread` is within the chunk, and memchr reads no further.
            memchr(bytes.baseAddress! + unread.lowerBound, 0x0A, unread.count).map {
                UnsafeRawPointer($0) - bytes.baseAddress!
            }
        }
        let piece = unread.lowerBound ..< (end ?? unread.upperBound)
        self.unread = (end.map { $0 + 1 } ?? unread.upperBound) ..< unread.upperBound
        return (piece, end != nil)
    }

    /// Adds a line, of which `line` may be only the beginning, and its length.
    private func updateDigest(_ line: [UInt8], bytes: Int) {
        var digest = self.digest
        func add(_ word: UInt64) {
            digest = (digest ^ word) &* 0x100_0000_01B3
            // Without it the upper bits of a word would not reach the lower ones of the digest.
            digest ^= digest >> 32
        }
        add(UInt64(bytes))
        let wholeBytes = line.count & ~7
        line.withUnsafeBytes {
            for offset in stride(from: 0, to: wholeBytes, by: 8) {
                // SAFETY: eight bytes below `wholeBytes`, which is within the array.
                add(UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            }
        }
        add(line[wholeBytes...].reversed().reduce(0) { $0 << 8 | UInt64($1) })
        self.digest = digest
    }

    /// Appends to the unread part, which must leave space in the chunk, what one read returns.
    ///
    /// - Returns: Whether there was anything; `false` at the end.
    private func fill() throws(FileFailure) -> Bool {
        if self.unread.isEmpty { self.unread = 0 ..< 0 }
        while !self.isAtEnd {
            let offset = self.unread.upperBound
            let count = self.chunk.withUnsafeMutableBytes {
                // SAFETY: the rest of the chunk, which outlives the call.
                read(self.descriptor, $0.baseAddress! + offset, $0.count - offset)
            }
            if count > 0 {
                self.unread = self.unread.lowerBound ..< offset + count
                return true
            }
            if count == 0 {
                self.isAtEnd = true
            } else if errno == EAGAIN {
                // A non-blocking pipe or terminal, as a parent may have made it.
                var polled = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
                poll(&polled, 1, -1)
            } else if errno != EINTR {
                throw FileFailure(self.name, errno: errno)
            }
        }
        return false
    }

    /// Looks at the first four bytes for the encoding.
    private func readStart() throws(FileFailure) {
        self.isAtStart = false
        while self.unread.count < 4, try self.fill() {}
        let start = Array(self.chunk[self.unread].prefix(4))
        if let encoding = TextEncodings.wide(start) {
            throw FileFailure(
                "\(self.name): the text is \(encoding.description), expected UTF-8; convert it, "
                    + "such as with iconv -f \(encoding.name) -t UTF-8")
        }
        if start.starts(with: TextEncodings.byteOrderMark) {
            self.unread = self.unread.dropFirst(TextEncodings.byteOrderMark.count)
        }
    }
}

/// Recognises text that is not UTF-8 by its first bytes.
package enum TextEncodings {
    /// U+FEFF as UTF-8.
    package static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// A wide encoding, as iconv names it and for people; `nil` for other texts.
    ///
    /// - Parameter start: Up to four bytes. Without a byte order mark, two characters below U+0100
    ///   tell the encoding by their zero bytes; texts of this tool begin with such.
    package static func wide(_ start: [UInt8]) -> (name: String, description: String)? {
        if start == [0xFF, 0xFE, 0, 0] || start == [0, 0, 0xFE, 0xFF] {
            return ("UTF-32", "UTF-32")
        }
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) {
            return ("UTF-16", "UTF-16")
        }
        guard start.count == 4 else { return nil }
        switch start.map({ $0 == 0 }) {
        case [false, true, false, true]:
            return ("UTF-16LE", "UTF-16 (little-endian, without a byte order mark)")
        case [true, false, true, false]:
            return ("UTF-16BE", "UTF-16 (big-endian, without a byte order mark)")
        default: return nil
        }
    }
}
