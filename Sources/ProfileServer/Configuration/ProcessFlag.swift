/// A flag of `profiled` that is not a setting: what the process does instead of serving, or where
/// it finds its settings.
struct ProcessFlag: Sendable {
    /// As it is typed, with its value's name.
    let usage: String
    /// What it does, in lines of a terminal.
    let lines: [String]

    /// In the order of the help.
    static let all: [ProcessFlag] = [
        ProcessFlag(
            usage: "--config FILE",
            lines: [
                "File of \"key = value\" lines and # comments; unknown keys are errors. It may be",
                "a symbolic link, a FIFO or /dev/stdin.",
                "Environment \(ConfigurationFile.environmentName).",
            ]),
        ProcessFlag(
            usage: "--check-config",
            lines: [
                "Check flags, environment and file, print the effective configuration, and exit",
                "with 0 or 2. Of what they name the operators' key file, the files of TLS and the",
                "table of certificates are read; no directory, lock, port or log is opened.",
            ]),
        ProcessFlag(
            usage: "--print-config",
            lines: ["Print the configuration as a file, with the source of each value, and exit."]),
        ProcessFlag(usage: "--help, -h", lines: ["Print this text and exit."]),
        ProcessFlag(
            usage: Self.manual + ", " + Self.fileManual,
            lines: [
                "Print the manual page profiled(8), or profiled.conf(5) of the file's keys, in the",
                "language of man(7), and exit.",
            ]),
        ProcessFlag(
            usage: "--version",
            lines: ["Print the versions of the program, its formats and its libraries, and exit."]),
    ]

    /// Prints the manual page of the program.
    static let manual = "--help-man"
    /// Prints the manual page of the configuration file.
    static let fileManual = "--help-man-config"
}
