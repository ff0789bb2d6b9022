import Glibc

/// The tool's output, clocks and randomness; tests replace them.
package struct ToolTerminal {
    /// Writes to standard output.
    package var say: (String) -> Void
    /// Writes one line, given without its line break, to standard error.
    package var complainLine: (String) -> Void
    /// Whether standard error is a terminal, where a line can be overwritten.
    package var showsProgress: Bool
    /// Wall-clock time in microseconds since 1970.
    package var now: () -> Int64
    /// Monotonic time in nanoseconds.
    package var nanoseconds: () -> UInt64
    /// A different text for every call, for random request ids.
    package var unique: () -> String

    package init(
        say: @escaping (String) -> Void, complainLine: @escaping (String) -> Void,
        showsProgress: Bool, now: @escaping () -> Int64,
        nanoseconds: @escaping () -> UInt64, unique: @escaping () -> String
    ) {
        (self.say, self.complainLine, self.showsProgress) = (say, complainLine, showsProgress)
        (self.now, self.nanoseconds, self.unique) = (now, nanoseconds, unique)
    }

    /// The terminal of the process.
    package static var system: ToolTerminal {
        ToolTerminal(
            say: { Self.write($0, to: 1) }, complainLine: { Self.write($0 + "\n", to: 2) },
            showsProgress: isatty(2) == 1,
            now: {
                var time = timespec()
                clock_gettime(CLOCK_REALTIME, &time)
                return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
            },
            nanoseconds: {
                var time = timespec()
                clock_gettime(CLOCK_MONOTONIC, &time)
                return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
            },
            unique: {
                String(UInt64.random(in: .min ... .max), radix: 36)
                    + String(UInt64.random(in: .min ... .max), radix: 36)
            })
    }

    /// Prints an error as one line.
    func complain(_ text: String) {
        self.complainLine("profilectl: \(text)")
    }

    /// Overwrites the progress line; an empty text removes it. Does nothing unless standard error
    /// is a terminal.
    func progress(_ text: String) {
        guard self.showsProgress else { return }
        Self.write("\r\u{1B}[K\(text)", to: 2)
    }

    /// Writes unbuffered; output to a closed pipe is discarded.
    private static func write(_ text: String, to descriptor: Int32) {
        var rest = ArraySlice(Array(text.utf8))
        while !rest.isEmpty {
            // SAFETY: the bytes are those of `rest` during the call, which copies them.
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
