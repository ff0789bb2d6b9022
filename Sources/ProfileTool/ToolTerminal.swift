import Glibc

/// Where the tool writes, and what it knows of time: a seam for the tests.
package struct ToolTerminal {
    /// A piece of standard output.
    package var say: (String) -> Void
    /// One line of standard error, without its end.
    package var complainLine: (String) -> Void
    /// Whether standard error is a terminal, where a line can be written over.
    package var showsProgress: Bool
    /// Since 1970, in microseconds.
    package var now: () -> Int64
    /// Monotonic.
    package var nanoseconds: () -> UInt64
    /// Different for every call: what made-up request ids are made of.
    package var unique: () -> String

    package init(
        say: @escaping (String) -> Void, complainLine: @escaping (String) -> Void,
        showsProgress: Bool, now: @escaping () -> Int64,
        nanoseconds: @escaping () -> UInt64, unique: @escaping () -> String
    ) {
        (self.say, self.complainLine, self.showsProgress) = (say, complainLine, showsProgress)
        (self.now, self.nanoseconds, self.unique) = (now, nanoseconds, unique)
    }

    /// The real one.
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

    /// An error, as one line.
    func complain(_ text: String) {
        self.complainLine("profilectl: \(text)")
    }

    /// Writes over the progress line; an empty text removes it. Nothing where standard error is no
    /// terminal.
    func progress(_ text: String) {
        guard self.showsProgress else { return }
        Self.write("\r\u{1B}[K\(text)", to: 2)
    }

    /// Unbuffered; what a closed pipe does not take is lost, as it should be.
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
