import Glibc

/// SIGINT and SIGTERM as a descriptor, for a command that runs until it is told to end.
package enum Interruption {
    /// The end of a pipe to which the handler writes.
    // SAFETY: written once, by the only thread and before a handler that reads it is installed.
    nonisolated(unsafe) private static var writer: Int32 = -1

    /// From here on the first SIGINT or SIGTERM does not end the process, but makes the descriptor
    /// readable. A second one of its kind ends it, even while it waits for a reader of its output.
    /// To be called once.
    ///
    /// - Returns: The descriptor, which belongs to the process; -1, at which no poll looks, if
    ///   there is none to be had: the signals end the process then.
    package static func descriptorOfSignals() -> Int32 {
        precondition(self.writer < 0, "the handler is installed once")
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return -1 }
        // The handler must not wait, and one byte is enough.
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        self.writer = ends[1]
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            // The code that is interrupted may be about to read errno.
            let before = errno
            var byte: UInt8 = 0
            _ = write(Interruption.writer, &byte, 1)
            errno = before
        }
        action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
        return ends[0]
    }
}
