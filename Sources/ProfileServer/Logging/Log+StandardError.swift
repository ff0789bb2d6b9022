import Glibc

extension Log {
    /// A sink that writes to standard error; what cannot be written is lost, since there is nowhere
    /// to say so.
    ///
    /// It blocks when the reader does: a service that goes on while nobody can learn why is worse.
    package static let standardError: Sink = { line in
        var rest = line
        while let base = rest.baseAddress, rest.count > 0 {
            // SAFETY: `rest` lies inside `line`, which the caller keeps for this call; pointer and
            // count go together.
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
