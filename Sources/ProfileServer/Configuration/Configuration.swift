// The operator's settings, resolved before anything is opened. Nothing here reads a file, a clock
// or the process: all input comes as arguments, so that every precedence and every error can be
// tested as a table.

import GRPCTransport
import IOCore
import IOTLS
import ProfileService
import Profiles
import Storage

/// The settings of one server process; every value is within its limits.
package struct Configuration: Equatable, Sendable {
    /// The directory of log and snapshots.
    package var dataDirectory: String
    /// Where gRPC is served.
    package var listen: Endpoint
    /// Whether gRPC may be served beyond loopback without TLS.
    package var insecureListen = false
    /// The file of the operators' keys; `nil`: none.
    package var operatorKeyFile: String?
    /// Whether the environment has operators' keys; they are not part of a configuration.
    package var hasOperatorKeyVariable = false
    /// Certificates, and who has to show some.
    package var tls = TLSSettings()
    /// The file of the audit log; `nil`: none.
    package var auditLog: String?
    /// Where HTTP/1.1 probes and metrics are served.
    package var adminListen: Endpoint
    /// Where the profile page is served; `nil`: nowhere.
    package var consoleListen: Endpoint?
    /// Threads that serve connections.
    package var loops: Int
    /// Open connections of one address, in all loops.
    package var connectionsPerAddress: Int
    /// Size of a log segment, in bytes.
    package var segmentBytes: Int
    /// Memory of the store above which writes are rejected, in bytes; 0: only the address range of
    /// the store limits it.
    package var memoryLimit: Int
    /// Bytes of log since the last snapshot after which the next one is made.
    package var snapshotLogBytes: Int
    /// Longest time from a record to a snapshot that covers it, in seconds.
    package var snapshotSeconds: Int
    /// Size of the change feed on disk, in bytes; the oldest changes go beyond it.
    package var feedBytes = FeedOptions().bytesMax
    /// Open Watch calls.
    package var watchersMax = WatchLimits().watchersMax
    /// The lsn at which a log is accepted that has lost its end; `nil`: such a log is rejected.
    package var acceptLogLoss: UInt64?
    /// Projects of a new data directory; an existing one keeps its own number.
    package var projectsMax = Int(StoreLimits().projectsMax)
    /// From a DeleteProject until its project's data goes, in seconds.
    package var projectDeleteSeconds = NodeConfiguration.projectDeleteSeconds
    /// Longest wait for open calls after SIGTERM, in seconds.
    package var drainSeconds: Int
    /// Whether clients can query the descriptors of the served API.
    package var reflection: Bool
    /// Lowest level that is logged.
    package var logLevel: LogLevel
    /// The file of the access log, or `stderr`; `nil`: none.
    package var accessLog: String?
    /// Share of the calls that the access log gets.
    package var accessLogSample = Ratio(millionths: 1_000_000)
    /// From here on a unary call is slow, in milliseconds.
    package var slowMilliseconds = 250
    /// Where spans are sent; `nil`: nowhere.
    package var otlpEndpoint: CollectorURL?
    /// Share of the calls without a trace that begin a sampled one.
    package var otlpSample = Ratio(millionths: 10_000)
    /// Projects with a label of their own in the metrics.
    package var metricsProjects = ItemAccounting.labelsMax
    /// What `accessLog` is for lines between those of the server's own log.
    package static let standardErrorName = "stderr"

    /// One thread per core, up to a number that still balances the work.
    package static let loopsRange = 1 ... 64
    /// At least one; 65,536 is more than the loops take.
    package static let connectionsPerAddressRange = 1 ... 65_536
    /// Smaller segments would be created constantly, larger ones take minutes to check.
    package static let segmentBytesRange = (1 << 20) ... (1 << 30)
    /// An empty store takes 2 MiB; the store can address 56 GiB.
    package static let memoryLimitRange = (16 << 20) ... MemoryStatistics.bytesMax
    /// Less than a segment would cause constant snapshots; 1 TiB is more log than anyone would
    /// want to replay.
    package static let snapshotLogBytesRange = (1 << 20) ... (1 << 40)
    /// At most 8 hours: two snapshots remove erased data from the disk, and the contract promises
    /// that within 24 hours.
    package static let snapshotSecondsRange = 1 ... 28_800
    /// Less would be seconds of a busy server's changes; 1 TiB is more than 23 hours of any.
    package static let feedBytesRange = (64 << 20) ... (1 << 40)
    /// One thread serves them all, and 10,000 may hold 1 GiB of batches.
    package static let watchersMaxRange = 1 ... 10_000
    /// At least `default`; as many as the store can find at once.
    package static let projectsMaxRange = 1 ... 10_000
    /// 0: at once. At most 90 days, as who deletes wants the data gone.
    package static let projectDeleteSecondsRange = 0 ... 90 * 86_400
    /// No supervisor waits for more than an hour.
    package static let drainSecondsRange = 0 ... 3_600
    /// A call that takes a minute is slow for everybody.
    package static let slowMillisecondsRange = 1 ... 60_000
    /// A project has eight series; a page of 1 MiB has space for those of twice as many.
    package static let metricsProjectsRange = 0 ... 500
    /// In bytes; leaves space for file names within the 4,096 of PATH_MAX.
    package static let pathBytesMax = 1_024
    /// In bytes; a file of all settings is under 1 KiB.
    package static let fileBytesMax = 64 * 1_024

    /// The values of settings that no source provides.
    ///
    /// - Parameters:
    ///   - cores: Cores that this process may use; determines the number of loops.
    ///   - memoryBytes: Memory that this process may use; determines the memory limit. 0: unknown,
    ///     no limit.
    package static func defaults(cores: Int, memoryBytes: Int = 0) -> Configuration {
        // Literals that `Endpoint` accepts; a test resolves an empty command line.
        guard let listen = Endpoint("127.0.0.1:50051"), let admin = Endpoint("127.0.0.1:9464")
        else {
            preconditionFailure("the default endpoints are well-formed")
        }
        return Configuration(
            dataDirectory: "./data", listen: listen, adminListen: admin,
            loops: min(max(cores, Self.loopsRange.lowerBound), Self.loopsRange.upperBound),
            connectionsPerAddress: TransportLimits().connectionsPerPeerMax,
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

    /// The action that the command line requests.
    package enum Invocation: Equatable, Sendable {
        case serve(Configuration)
        /// Check the files that this configuration names, print the text, which is the
        /// configuration itself, and exit.
        case checkConfiguration(Configuration, text: String)
        /// Print this text, itself a configuration file, and exit.
        case printConfiguration(String)
        /// Print this text and exit.
        case printHelp(String)
        case printVersion
    }

    /// Reads a file to its end, but at most the given number of bytes; a directory is an error.
    package typealias FileReader = (_ path: String, _ bytesMax: Int) throws(IOError) -> [UInt8]

    /// Resolves every setting: flag over environment over file over default.
    ///
    /// An overridden value is checked too, because it would fail as soon as the value that
    /// overrides it is removed.
    ///
    /// - Parameters:
    ///   - arguments: Arguments of the process, without its name.
    ///   - hasOperatorKeyVariable: Whether the environment had operators' keys, which were taken
    ///     out of it.
    ///   - environment: Environment of the process; names that are not settings are ignored.
    ///   - cores: Cores that this process may use.
    ///   - memoryBytes: Memory that this process may use; 0: unknown.
    ///   - hasTLS: Whether this program can encrypt.
    ///   - readFile: Reads the file of `--config`; called at most once.
    /// - Throws: The first error, from the source of lowest precedence to that of highest.
    package static func resolve(
        arguments: [String], environment: [String: String], cores: Int, memoryBytes: Int = 0,
        hasOperatorKeyVariable: Bool = false, hasTLS: Bool = TLSSupport.isBuilt,
        readFile: FileReader
    ) throws(ConfigurationError) -> Invocation {
        // --help and --version work even with other arguments that are invalid.
        if arguments.contains("--help") || arguments.contains("-h") {
            return .printHelp(Setting.help(cores: cores, memoryBytes: memoryBytes))
        }
        if arguments.contains(ProcessFlag.manual) { return .printHelp(Setting.manual) }
        if arguments.contains(ProcessFlag.fileManual) { return .printHelp(Setting.fileManual) }
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
        configuration.hasOperatorKeyVariable = hasOperatorKeyVariable
        try configuration.checkTogether(sources: sources, hasTLS: hasTLS)

        switch commandLine.action {
        case .serve: return .serve(configuration)
        case .check:
            return .checkConfiguration(
                configuration,
                text: Setting.valid + Setting.print(configuration, sources: sources))
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

    /// Whether calls need a key.
    package var hasOperatorKeys: Bool {
        self.operatorKeyFile != nil || self.hasOperatorKeyVariable
    }

    /// Checks rules that involve more than one setting.
    private func checkTogether(
        sources: [ConfigurationError.Source?], hasTLS: Bool
    ) throws(ConfigurationError) {
        func source(of name: String) -> ConfigurationError.Source {
            let index = Setting.all.firstIndex { $0.name == name }
            return index.flatMap { sources[$0] } ?? .standard
        }
        guard self.operatorKeyFile == nil || !self.hasOperatorKeyVariable else {
            throw ConfigurationError(
                source: source(of: "operator-key-file"), setting: "operator-key-file",
                problem: .notAllowed, found: self.operatorKeyFile ?? "",
                allowed: "none as long as the environment has \(OperatorKeyFile.variable): a key"
                    + " that is removed from the one would still be valid in the other")
        }
        guard self.listen.isLoopback || self.hasOperatorKeys else {
            throw ConfigurationError(
                source: source(of: "listen"), setting: "listen", problem: .notLoopback,
                found: self.listen.description,
                allowed: "a loopback address only, since without keys every caller is an operator;"
                    + " with --operator-key-file, and --tls-certificate or --insecure-listen, any"
                    + " address")
        }
        if let fault = self.tls.fault(hasTLS: hasTLS, hasKeys: self.hasOperatorKeys) {
            throw ConfigurationError(
                source: source(of: fault.setting), setting: fault.setting, problem: .notAllowed,
                found: fault.found, allowed: fault.allowed)
        }
        guard self.listen.isLoopback || self.insecureListen || self.tls.isOn else {
            throw ConfigurationError(
                source: source(of: "listen"), setting: "listen", problem: .notLoopback,
                found: self.listen.description,
                allowed: "a loopback address only, since there is no TLS; with --tls-certificate"
                    + " any address; with --insecure-listen too, and keys and data cross the"
                    + " network unencrypted")
        }
        guard self.accessLog == nil || self.accessLog != self.auditLog else {
            throw ConfigurationError(
                source: source(of: "access-log"), setting: "access-log", problem: .notAllowed,
                found: self.accessLog ?? "",
                allowed: "another file than that of audit-log")
        }
        guard !self.listen.overlaps(self.adminListen) else {
            throw ConfigurationError(
                source: source(of: "admin-listen"), setting: "admin-listen",
                problem: .notAllowed, found: self.adminListen.description,
                allowed: "an endpoint that does not overlap with that of listen")
        }
        guard let console = self.consoleListen else { return }
        guard !console.overlaps(self.listen), !console.overlaps(self.adminListen) else {
            throw ConfigurationError(
                source: source(of: "console-listen"), setting: "console-listen",
                problem: .notAllowed, found: console.description,
                allowed: "an endpoint that overlaps neither with that of listen nor admin-listen")
        }
    }
}
