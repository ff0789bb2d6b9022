// What the operator decided, before anything is opened. Nothing here reads a file, a clock or the
// process: all of it comes as arguments, so every precedence and every error can be tested as a
// table.

import IOCore
import Profiles

/// The settings of one server process; every value has passed its limits.
package struct Configuration: Equatable, Sendable {
    /// Where log and snapshots live.
    package var dataDirectory: String
    /// Where gRPC is served.
    package var listen: Endpoint
    /// Where HTTP/1.1 probes and metrics are served.
    package var adminListen: Endpoint
    /// Threads that serve connections.
    package var loops: Int
    /// Size of a log segment, in bytes.
    package var segmentBytes: Int
    /// Memory of the store above which writes are refused, in bytes; 0: only what the store can
    /// name at all.
    package var memoryLimit: Int
    /// Bytes of log since the last snapshot after which the next one is made.
    package var snapshotLogBytes: Int
    /// Longest time from a record to a snapshot that covers it, in seconds.
    package var snapshotSeconds: Int
    /// Longest wait for open calls after SIGTERM, in seconds.
    package var drainSeconds: Int
    /// Whether clients may ask for the descriptors of what is served.
    package var reflection: Bool
    /// Lowest level that is logged.
    package var logLevel: LogLevel

    /// One thread per core, as far as partitions of work make sense.
    package static let loopsRange = 1 ... 64
    /// Smaller ones would be created all the time, larger ones take minutes to check.
    package static let segmentBytesRange = (1 << 20) ... (1 << 30)
    /// An empty store takes 2 MiB; the store can name 56 GiB.
    package static let memoryLimitRange = (16 << 20) ... MemoryStatistics.bytesMax
    /// Less than a segment would make snapshots all the time; a TiB is more than any disk of a
    /// service keeps for replay.
    package static let snapshotLogBytesRange = (1 << 20) ... (1 << 40)
    /// At most 8 hours: two of them take what was erased off the disk within the 24 that are
    /// promised.
    package static let snapshotSecondsRange = 1 ... 28_800
    /// An hour is longer than any supervisor waits.
    package static let drainSecondsRange = 0 ... 3_600
    /// In bytes; leaves room for file names below the 4,096 of PATH_MAX.
    package static let pathBytesMax = 1_024
    /// In bytes; a file of all settings is under 1 KiB.
    package static let fileBytesMax = 64 * 1_024

    /// What holds where nothing is said.
    ///
    /// - Parameters:
    ///   - cores: Of this machine; decides the number of loops.
    ///   - memoryBytes: What this process may use; decides the memory limit. 0: not known, no
    ///     limit.
    package static func defaults(cores: Int, memoryBytes: Int = 0) -> Configuration {
        // Literals that `Endpoint` accepts; a test resolves an empty command line.
        guard let listen = Endpoint("127.0.0.1:50051"), let admin = Endpoint("127.0.0.1:9464")
        else {
            preconditionFailure("the default endpoints are well-formed")
        }
        return Configuration(
            dataDirectory: "./data", listen: listen, adminListen: admin,
            loops: min(max(cores, Self.loopsRange.lowerBound), Self.loopsRange.upperBound),
            segmentBytes: 64 << 20, memoryLimit: Self.memoryLimit(ofMachine: memoryBytes),
            snapshotLogBytes: 256 << 20,
            snapshotSeconds: 28_800, drainSeconds: 10, reflection: true, logLevel: .info)
    }

    /// Three quarters, in whole MiB: connections, batches and the system need the rest, and a
    /// process that is killed for its memory would be killed again after each restart.
    private static func memoryLimit(ofMachine bytes: Int) -> Int {
        guard bytes > 0 else { return 0 }
        let share = (bytes / 4 * 3) & ~((1 << 20) - 1)
        return min(max(share, Self.memoryLimitRange.lowerBound), Self.memoryLimitRange.upperBound)
    }

    /// What the process was asked to do.
    package enum Invocation: Equatable, Sendable {
        case serve(Configuration)
        /// Say that it is good with this text, the configuration in force, and exit.
        case checkConfiguration(String)
        /// Print this text, itself a configuration file, and exit.
        case printConfiguration(String)
        /// Print this text and exit.
        case printHelp(String)
        case printVersion
    }

    /// Reads at most the given number of bytes from the start of a file.
    package typealias FileReader = (_ path: String, _ bytesMax: Int) throws(IOError) -> [UInt8]

    /// Settles every setting: flag over environment over file over default.
    ///
    /// A value is checked also where a stronger one hides it: it would fail on the day the stronger
    /// one is removed.
    ///
    /// - Parameters:
    ///   - arguments: Of the process, without its name.
    ///   - environment: Of the process; names that are no settings are ignored.
    ///   - cores: Of this machine.
    ///   - memoryBytes: What this process may use; 0: not known.
    ///   - readFile: How to read the file of `--config`; called at most once.
    /// - Throws: The first thing that is wrong, from the weakest source to the strongest.
    package static func resolve(
        arguments: [String], environment: [String: String], cores: Int, memoryBytes: Int = 0,
        readFile: FileReader
    ) throws(ConfigurationError) -> Invocation {
        // Asked for help, one wants help, whatever else is wrong.
        if arguments.contains("--help") || arguments.contains("-h") {
            return .printHelp(Setting.help(cores: cores, memoryBytes: memoryBytes))
        }
        if arguments.contains("--version") { return .printVersion }
        let commandLine = try CommandLineArguments(arguments)

        var configuration = Self.defaults(cores: cores, memoryBytes: memoryBytes)
        var sources = [ConfigurationError.Source?](repeating: nil, count: Setting.all.count)
        if let path = try Self.configurationPath(commandLine, environment) {
            let file = try ConfigurationFile(path: path, readFile: readFile)
            for (index, setting) in Setting.all.enumerated() {
                guard let entry = file.entries[setting.name] else { continue }
                let source = ConfigurationError.Source.file(path: path, line: entry.line)
                try setting.apply(entry.value, from: source, to: &configuration)
                sources[index] = source
            }
        }
        for (index, setting) in Setting.all.enumerated() {
            guard let value = environment[setting.environmentName] else { continue }
            try setting.apply(value, from: .environment, to: &configuration)
            sources[index] = .environment
        }
        for (index, setting) in Setting.all.enumerated() {
            guard let value = commandLine.values[setting.name] else { continue }
            try setting.apply(value, from: .flag, to: &configuration)
            sources[index] = .flag
        }
        try configuration.checkTogether(sources: sources)

        switch commandLine.action {
        case .serve: return .serve(configuration)
        case .check:
            return .checkConfiguration(
                Setting.good + Setting.print(configuration, sources: sources))
        case .print: return .printConfiguration(Setting.print(configuration, sources: sources))
        }
    }

    private static func configurationPath(
        _ commandLine: CommandLineArguments, _ environment: [String: String]
    ) throws(ConfigurationError) -> String? {
        let flag = commandLine.values[ConfigurationFile.settingName]
        let variable = environment[ConfigurationFile.environmentName]
        guard let path = flag ?? variable else { return nil }
        guard Setting.isPath(path) else {
            throw ConfigurationError(
                source: flag != nil ? .flag : .environment, setting: ConfigurationFile.settingName,
                problem: .notAllowed, found: path, allowed: Setting.pathAllowed)
        }
        return path
    }

    /// Checks what no setting can know alone.
    private func checkTogether(
        sources: [ConfigurationError.Source?]
    ) throws(ConfigurationError) {
        func source(of name: String) -> ConfigurationError.Source {
            let index = Setting.all.firstIndex { $0.name == name }
            return index.flatMap { sources[$0] } ?? .standard
        }
        guard self.listen.isLoopback else {
            throw ConfigurationError(
                source: source(of: "listen"), setting: "listen", problem: .needsKeys,
                found: self.listen.description,
                allowed: "a loopback address only, since without keys every caller is an operator"
                    + " (keys are not built yet)")
        }
        guard self.listen.port == 0 || self.listen != self.adminListen else {
            throw ConfigurationError(
                source: source(of: "admin-listen"), setting: "admin-listen",
                problem: .notAllowed, found: self.adminListen.description,
                allowed: "an endpoint other than that of listen")
        }
    }
}
