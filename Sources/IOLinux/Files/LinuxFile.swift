import Glibc
import IOCore

/// An open file.
final class LinuxFile: File {
    let path: String
    private let descriptor: Int32

    init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    /// The path that the file has now, for errors: a segment is made under another name, and an
    /// operator looks for the one that it was given since.
    private var presentPath: String {
        let code = errno
        defer { errno = code }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { target in
            // SAFETY: the buffer and its size are given together; only what was written is read.
            let count = readlink(
                "/proc/self/fd/\(self.descriptor)", target.baseAddress!, target.count)
            guard count > 0, count < target.count else { return self.path }
            return String(
                decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }

    func size() throws(IOError) -> Int {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else {
            throw IOError(operation: "fstat", subject: self.presentPath)
        }
        return Int(status.st_size)
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOError) -> Int {
        var done = 0
        while done < target.count {
            // SAFETY: the rest of the caller's buffer; pointer and count are of the same buffer.
            let count = pread(
                self.descriptor, target.baseAddress! + done, target.count - done,
                off_t(offset + done))
            if count == 0 { break }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw IOError(operation: "pread", subject: self.presentPath)
            }
        }
        return done
    }

    func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(IOError) {
        var done = 0
        while done < source.count {
            // SAFETY: as above.
            let count = pwrite(
                self.descriptor, source.baseAddress! + done, source.count - done,
                off_t(offset + done))
            if count > 0 {
                done += count
            } else if count == 0 || errno != EINTR {
                throw IOError(operation: "pwrite", subject: self.presentPath)
            }
        }
    }

    func sync() throws(IOError) {
        // Never repeated, not even after EINTR: the success of a second call proves nothing about
        // the pages of the first one.
        guard fdatasync(self.descriptor) == 0 else {
            throw IOError(operation: "fdatasync", subject: self.presentPath)
        }
    }

    func dropCache() {
        // Advice only: where the kernel ignores it, a read returns cached pages, which is harmless.
        _ = posix_fadvise(self.descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    func truncate(to size: Int) throws(IOError) {
        while ftruncate(self.descriptor, off_t(size)) != 0 {
            guard errno == EINTR else {
                throw IOError(operation: "ftruncate", subject: self.presentPath)
            }
        }
    }

    func close() {
        Glibc.close(self.descriptor)
    }
}
