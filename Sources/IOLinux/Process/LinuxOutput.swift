import Glibc

/// A descriptor for text that leaves the process, such as standard error: a pipe, a terminal, a
/// file or a socket, which other processes may share, may have made non-blocking or may close.
package struct LinuxOutput: Sendable {
    /// How a write ended.
    package enum Outcome: Equatable, Sendable {
        case written
        /// Nobody can receive it: the reader has gone, the disk is full, or there is no such
        /// descriptor.
        case lost
        /// Nothing could be written within the time.
        case timedOut
    }

    /// Most bytes that a pipe takes as a whole or not at all.
    package static let atomicBytes = Int(PIPE_BUF)
    /// Pause before a write to a full disk is repeated, in milliseconds.
    private static let pauseMilliseconds: Int32 = 100

    private let descriptor: Int32

    package static let standardOutput = LinuxOutput(descriptor: STDOUT_FILENO)
    package static let standardError = LinuxOutput(descriptor: STDERR_FILENO)

    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Writes all of `bytes`, and waits for the reader.
    ///
    /// - Parameters:
    ///   - milliseconds: Longest wait for the reader; `nil`: for ever.
    ///   - waitsForSpace: Whether it also waits, for ever, for space on a full disk.
    package func write(
        _ bytes: UnsafeRawBufferPointer, waitingAtMost milliseconds: Int32? = nil,
        waitsForSpace: Bool = false
    ) -> Outcome {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            guard self.waitForReader(milliseconds: milliseconds) else { return .timedOut }
            // SAFETY: `rest` is part of `bytes`, which the caller keeps alive for this call;
            // pointer and count are of the same buffer.
            let count = Glibc.write(self.descriptor, base, rest.count)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                continue
            }
            switch count == 0 ? EAGAIN : errno {
            case EINTR, EAGAIN: continue
            case ENOSPC, EDQUOT, EFBIG:
                // A disk with space, or a file that was rotated, takes the rest of the line later.
                guard waitsForSpace else { return .lost }
                poll(nil, 0, Self.pauseMilliseconds)
            default: return .lost
            }
        }
        return .written
    }

    /// Waits until a write would not block; `false` after the time.
    private func waitForReader(milliseconds: Int32?) -> Bool {
        var watched = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        while true {
            let ready = poll(&watched, 1, milliseconds ?? -1)
            if ready >= 0 { return ready > 0 }
            // The write that follows reports every other error.
            guard errno == EINTR else { return true }
        }
    }

    /// Writes `text`, and waits for its reader as long as that takes.
    package func write(_ text: String, waitingAtMost milliseconds: Int32? = nil) -> Outcome {
        var text = text
        return text.withUTF8 { self.write(UnsafeRawBufferPointer($0), waitingAtMost: milliseconds) }
    }
}
