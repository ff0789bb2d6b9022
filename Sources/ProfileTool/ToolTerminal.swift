import Glibc
import ProfileClient

/// The tool's output, clocks and randomness; tests replace them.
package struct ToolTerminal {
    /// Writes to standard output. What cannot be written is noticed in `outputFailure`.
    package var say: (String) -> Void
    /// Writes one line, given without its line break, to standard error.
    package var complainLine: (String) -> Void
    /// Overwrites the current line of standard error; `nil` unless that is a terminal that can.
    package var overwriteLine: ((String) -> Void)?
    /// Wall-clock time in microseconds since 1970.
    package var now: () -> Int64
    /// Monotonic time in nanoseconds.
    package var nanoseconds: () -> UInt64
    /// A different text for every call, for random request ids.
    package var unique: () -> String
    /// 64 bits that nobody can guess.
    package var random: () -> UInt64 = { .random(in: .min ... .max) }
    /// The errno of the first write to standard output that failed. A command that prints without
    /// end stops then.
    package var outputFailure: () -> Int32? = { nil }
    /// Descriptors whose readiness ends a command that runs until it is told to. Asking for them
    /// changes what SIGINT and SIGTERM do, so only such commands ask.
    package var endings: () -> [pollfd] = { [] }
    /// Sets `outputFailure` if the reader of standard output has left.
    package var noticeLostReader: () -> Void = {}
    /// Closes standard output, which may set `outputFailure`.
    package var closeOutput: () -> Void = {}

    package init(
        say: @escaping (String) -> Void, complainLine: @escaping (String) -> Void,
        overwriteLine: ((String) -> Void)? = nil, now: @escaping () -> Int64,
        nanoseconds: @escaping () -> UInt64, unique: @escaping () -> String
    ) {
        (self.say, self.complainLine, self.overwriteLine) = (say, complainLine, overwriteLine)
        (self.now, self.nanoseconds, self.unique) = (now, nanoseconds, unique)
    }

    /// The terminal of the process, after its streams and signals are prepared.
    ///
    /// - Parameter environment: `TERM` and `NO_COLOR` say whether escape codes are wanted.
    package static func system(environment: [String: String]) -> ToolTerminal {
        StandardStreams.prepare()
        let output = ConsoleOutput(descriptor: 1)
        // Nothing can be said about errors of standard error itself.
        let errors = ConsoleOutput(descriptor: 2)
        let overwrites = isatty(2) == 1 && self.wantsEscapeCodes(environment)
        var terminal = ToolTerminal(
            say: { output.write($0) }, complainLine: { errors.write($0 + "\n") },
            overwriteLine: overwrites ? { errors.write("\r\u{1B}[K\($0)") } : nil,
            now: { Int64(ClientClock.nanoseconds(CLOCK_REALTIME) / 1_000) },
            nanoseconds: { ClientClock.nanoseconds() },
            unique: {
                String(UInt64.random(in: .min ... .max), radix: 36)
                    + String(UInt64.random(in: .min ... .max), radix: 36)
            })
        terminal.outputFailure = { output.failure }
        terminal.endings = {
            let signals = Interruption.descriptorOfSignals()
            // Without events there is only POLLERR, by which a pipe says that its reader is gone.
            return [
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: 1, events: 0, revents: 0),
            ]
        }
        terminal.noticeLostReader = { output.noticeLostReader() }
        terminal.closeOutput = { output.close() }
        return terminal
    }

    /// Not for a terminal that calls itself dumb, nor with NO_COLOR (no-color.org).
    package static func wantsEscapeCodes(_ environment: [String: String]) -> Bool {
        environment["TERM"] != "dumb" && (environment["NO_COLOR"] ?? "").isEmpty
    }

    /// Prints an error as one line, whatever texts it contains.
    func complain(_ text: String) {
        self.complainLine(TerminalText.safe("profilectl: \(text)"))
    }

    /// Overwrites the progress line; an empty text removes it. Does nothing unless standard error
    /// is a terminal.
    func progress(_ text: String) {
        self.overwriteLine?(TerminalText.safe(text))
    }
}
