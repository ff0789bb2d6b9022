import Glibc

/// A descriptor to which text is written completely; the first error is kept.
///
/// Standard streams may be non-blocking pipes, full disks or closed: a caller that ignored what
/// `write` returns would end with exit code 0 and half of its output. A reader that is slower than
/// a non-blocking pipe is waited for. After an error further text is discarded, and the owner reads
/// `failure` before it chooses its exit code. Used by one thread.
package final class ConsoleOutput {
    private let descriptor: Int32
    private var hasWritten = false
    /// The errno of the first write that failed; `nil` while everything was written.
    package private(set) var failure: Int32?

    /// - Parameter descriptor: Owned by the caller until `close`.
    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Writes all of the text, unbuffered, or sets `failure`.
    package func write(_ text: String) {
        var text = text
        text.withUTF8 { self.write(UnsafeRawBufferPointer($0)) }
    }

    /// Writes all of the bytes, unbuffered, or sets `failure`.
    package func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { self.write($0) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) {
        guard self.failure == nil, !bytes.isEmpty else { return }
        self.hasWritten = true
        var done = 0
        while done < bytes.count {
            // SAFETY: the rest of the caller's buffer, which outlives the call; `done` is below its
            // count.
            let count = Glibc.write(
                self.descriptor, bytes.baseAddress! + done, bytes.count - done)
            if count > 0 {
                done += count
            } else if count < 0, errno == EAGAIN {
                self.waitUntilWritable()
            } else if count == 0 || errno != EINTR {
                self.failure = count == 0 ? EIO : errno
                return
            }
        }
    }

    /// Sets `failure` to EPIPE if the reader of a pipe or the terminal has left, without a write.
    package func noticeLostReader() {
        var polled = pollfd(fd: self.descriptor, events: 0, revents: 0)
        poll(&polled, 1, 0)
        let isLost = Int32(polled.revents) & (POLLERR | POLLHUP) != 0
        if isLost, self.failure == nil { self.failure = EPIPE }
    }

    /// Closes the descriptor if it was written to: some file systems report only then that the
    /// bytes were lost.
    package func close() {
        guard self.hasWritten, self.failure == nil else { return }
        if Glibc.close(self.descriptor) != 0, errno != EINTR { self.failure = errno }
        self.hasWritten = false
    }

    /// Waits without a limit, as a write to a blocking pipe does. Errors and closed readers end the
    /// wait, and the next write reports them.
    private func waitUntilWritable() {
        var polled = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&polled, 1, -1)
    }
}

/// The standard streams and signals of a command line program.
package enum StandardStreams {
    /// Makes output errors visible as errors; called once, before anything is opened.
    ///
    /// - A standard stream that the parent has closed gets a descriptor on which its use fails.
    ///   Otherwise the next socket or file would take its number, and receive the output.
    /// - SIGPIPE and SIGXFSZ are ignored: the write fails with EPIPE or EFBIG instead, and the
    ///   program decides what is still to be done.
    package static func prepare() {
        for (descriptor, access) in [(0, O_WRONLY), (1, O_RDONLY), (2, O_RDONLY)]
        where fcntl(Int32(descriptor), F_GETFD) < 0 {
            // The lowest free number is `descriptor`, since the lower ones are open by now.
            _ = open("/dev/null", access)
        }
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}

/// Exit codes for output that could not be written, shared by the command line programs.
package enum OutputExitCode {
    /// The disk is full, the stream is closed, or the like; a message says so. What the command did
    /// before is done.
    package static let lost: Int32 = 6
    /// The reader has closed the pipe: 128 + SIGPIPE, as shells report it for other programs.
    package static let closedPipe: Int32 = 141

    /// The exit code of a program whose own result is `code`.
    ///
    /// - Parameter failure: The errno of its standard output; `nil`: everything was written.
    package static func code(_ code: Int32, failure: Int32?) -> Int32 {
        guard let failure, code == 0 else { return code }
        return failure == EPIPE ? self.closedPipe : self.lost
    }

    /// What to print on standard error; `nil` if a reader left early, which is not an error.
    package static func message(failure: Int32?) -> String? {
        guard let failure, failure != EPIPE else { return nil }
        return
            "the output is incomplete: writing to standard output failed: "
            + String(cString: strerror(failure))
    }
}
