import Glibc

extension Log {
    /// A sink that writes to standard error. Lines that cannot be written are lost, since there is
    /// nowhere to report that.
    ///
    /// It blocks when the reader does: a service that continues without a log would be worse.
    package static let standardError: Sink = { line in
        var rest = line
        while let base = rest.baseAddress, rest.count > 0 {
            // SAFETY: `rest` is part of `line`, which the caller keeps alive for this call; pointer
            // and count are of the same buffer.
            let written = Glibc.write(STDERR_FILENO, base, rest.count)
            if written > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
            } else if written < 0 && errno == EINTR {
                continue
            } else {
                return
            }
        }
    }
}
