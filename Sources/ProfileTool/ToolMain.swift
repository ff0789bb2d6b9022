import Glibc
import ProfileClient
import ProfileOffline

/// `profilectl`: parses the command line, runs one command, and reports an error as one line and an
/// exit code.
package enum ToolMain {
    /// Exit codes of `profilectl`, as its help lists them.
    package enum ExitCode {
        package static let done: Int32 = 0
        package static let rejected: Int32 = 1
        package static let usage: Int32 = 2
        /// No response, or data that must not be served; the latter is also `profiled`'s code.
        package static let dataRejected: Int32 = 3
        package static let directoryLocked: Int32 = 4
        /// An import that reached the end of its lines, some of which were rejected.
        package static let someRejected: Int32 = 5
        /// A watch whose position is no longer kept: changes are missing.
        package static let positionGone: Int32 = 7
        /// Output that could not be written.
        package static let outputLost = OutputExitCode.lost
    }

    /// - Parameter environment: `PROFILES_ADDRESS`, `PROFILES_PROJECT`, and `PROFILES_KEY_FILE` or
    ///   `PROFILES_KEY` replace absent flags.
    /// - Returns: The exit code; never 0 if some of the output is missing.
    package static func run(
        _ arguments: [String], environment: [String: String], terminal: ToolTerminal
    ) -> Int32 {
        let code = self.runCommand(arguments, environment: environment, terminal: terminal)
        terminal.closeOutput()
        let failure = terminal.outputFailure()
        if let message = OutputExitCode.message(failure: failure) { terminal.complain(message) }
        return OutputExitCode.code(code, failure: failure)
    }

    private static func runCommand(
        _ arguments: [String], environment: [String: String], terminal: ToolTerminal
    ) -> Int32 {
        do {
            let parsed = try ToolArguments(arguments.isEmpty ? ["help"] : arguments)
            if parsed.has("--version") {
                terminal.say("profilectl \(ClientVersion.program)\n")
                return ExitCode.done
            }
            if parsed.has("--help") {
                terminal.say(
                    parsed.command.name == "help" ? ToolCommand.overview : parsed.command.help)
                return ExitCode.done
            }
            return try Tool(parsed, environment: environment, terminal: terminal).run()
        } catch let error as UsageError {
            terminal.complain(error.text)
            return ExitCode.usage
        } catch let error as MessageJSONError {
            terminal.complain("\(error.path): \(error.reason)")
            return ExitCode.usage
        } catch let error as RPCFailure {
            terminal.progress("")
            terminal.complain(FailureText.line(error))
            return FailureText.exitCode(error)
        } catch let error as FileFailure {
            terminal.progress("")
            terminal.complain(error.text)
            return ExitCode.rejected
        } catch let error as OfflineFailure {
            terminal.complain(error.text)
            return self.exitCode(error)
        } catch {
            terminal.complain("\(error)")
            return ExitCode.rejected
        }
    }

    private static func exitCode(_ failure: OfflineFailure) -> Int32 {
        switch failure {
        case .locked: ExitCode.directoryLocked
        case .rejected: ExitCode.dataRejected
        case .files, .target: ExitCode.rejected
        }
    }
}

/// One run of one command.
struct Tool {
    let arguments: ToolArguments
    let terminal: ToolTerminal
    let client: UnaryClient
    let project: String
    let now: Int64

    /// How long an import waits for a server that cannot be reached, in milliseconds, unless
    /// --timeout is given.
    private static let importTimeoutMilliseconds: Int64 = 60_000
    /// How long a snapshot or a backup may take: a terabyte at 300 MB a second.
    private static let copyTimeoutMilliseconds: Int64 = 3_600_000

    init(_ arguments: ToolArguments, environment: [String: String], terminal: ToolTerminal)
        throws(UsageError)
    {
        self.arguments = arguments
        self.terminal = terminal
        self.project = arguments["--project"] ?? environment["PROFILES_PROJECT"] ?? "default"
        self.now = terminal.now()
        let text = arguments["--address"] ?? environment["PROFILES_ADDRESS"] ?? "127.0.0.1:50051"
        let address: ServerAddress
        do throws(ServerAddress.Invalid) {
            address = try ServerAddress.parse(text)
        } catch {
            throw UsageError("--address \(text): \(error.reason)")
        }
        let encrypted = try Self.encrypted(address, arguments, environment: environment)
        var retryPolicy = UnaryClient.RetryPolicy()
        if arguments.command.name == "import" {
            retryPolicy.waitsForServer = true
            retryPolicy.timeoutMilliseconds = Self.importTimeoutMilliseconds
        }
        if ["snapshot", "backup"].contains(arguments.command.name) {
            retryPolicy.timeoutMilliseconds = Self.copyTimeoutMilliseconds
        }
        if let span = arguments["--timeout"] {
            guard let microseconds = TimeText.span(span), microseconds > 0 else {
                throw UsageError("--timeout \(span): expected a span such as 10s or 2m")
            }
            retryPolicy.timeoutMilliseconds = microseconds / 1_000
        }
        self.client = UnaryClient(
            encrypted, retryPolicy: retryPolicy,
            key: try Self.key(arguments, environment: environment))
    }

    /// The address, with what the flags say about TLS.
    private static func encrypted(
        _ address: ServerAddress, _ arguments: ToolArguments, environment: [String: String]
    ) throws(UsageError) -> ServerAddress {
        do throws(ClientTLS.Invalid) {
            return try ClientTLS.Flags(
                isOn: arguments.has("--tls"), authority: arguments["--ca"],
                certificate: arguments["--cert"], key: arguments["--cert-key"],
                serverName: arguments["--server-name"]
            ).applied(to: address, environment: environment)
        } catch {
            throw UsageError(error.reason)
        }
    }

    /// The key to call with; `nil`: none, as for commands that work without a server.
    private static func key(_ arguments: ToolArguments, environment: [String: String])
        throws(UsageError) -> String?
    {
        let isLocal =
            ["restore", "verify", "dump", "completion", "help"].contains(arguments.command.name)
            || arguments.command.name == "key" && arguments.positional.first == "new"
        guard !isLocal else { return nil }
        do throws(ClientKey.Invalid) {
            return try ClientKey.find(file: arguments["--key-file"], environment: environment)
        } catch {
            throw UsageError(error.reason)
        }
    }

    func run() throws -> Int32 {
        switch self.arguments.command.name {
        case "identify": try self.identify()
        case "track": try self.track()
        case "get": try self.get()
        case "events": try self.events()
        case "list": try self.list()
        case "count": try self.count()
        case "subscribe": try self.changeSubscription("SUBSCRIBED")
        case "unsubscribe": try self.changeSubscription("UNSUBSCRIBED")
        case "consent": try self.consent()
        case "sendable": try self.sendable()
        case "erase": try self.erase()
        case "merge": try self.merge()
        case "unmerge": try self.unmerge()
        case "detach": try self.detach()
        case "import": return try self.importFile()
        case "export": return try self.export()
        case "health": return try self.health()
        case "snapshot": try self.snapshot()
        case "backup": try self.backup()
        case "watch": try self.watch()
        case "trigger": try self.trigger()
        case "project": try self.projects()
        case "key": try self.key()
        case "restore": return try self.restore()
        case "verify": return try self.verify()
        case "dump": return try self.dump()
        case "completion": try self.completion()
        default: try self.help()
        }
        return ToolMain.ExitCode.done
    }

    // MARK: Shared by several commands

    var wantsJSON: Bool { self.arguments.has("--json") }

    func call(_ method: RPCMethod, _ members: [(String, JSONValue?)]) throws -> JSONValue {
        try self.client.call(method, .object(of: members), encoder: MessageEncoder(now: self.now))
    }

    /// Prints a response as JSON, or as the given text.
    func show(_ response: JSONValue, _ text: () -> String) {
        self.terminal.say(self.wantsJSON ? "\(response)\n" : text())
    }

    /// The positional arguments; throws unless there are `least` to `most`.
    func positional(_ least: Int, _ most: Int = .max) throws(UsageError) -> [String] {
        let found = self.arguments.positional
        guard found.count >= least else {
            throw UsageError(
                "\(self.arguments.command.name) needs \(self.arguments.command.arguments); "
                    + "`profilectl help \(self.arguments.command.name)` explains"
            )
        }
        guard found.count <= most else {
            throw UsageError(
                "\(self.arguments.command.name): unexpected argument \(found[most]); it takes "
                    + "\(self.arguments.command.arguments)"
            )
        }
        return found
    }

    /// `occurred_at` of --at or --ago.
    func time() throws(UsageError) -> JSONValue? {
        if let text = self.arguments["--at"] {
            guard TimeText.parse(text) != nil else {
                throw UsageError("--at \(text): expected a time such as 2026-01-31T12:00:00Z")
            }
            return .string(text)
        }
        guard let text = self.arguments["--ago"] else { return nil }
        guard let span = TimeText.span(text) else {
            throw UsageError("--ago \(text): expected a span such as 90s, 5m, 3h or 2d")
        }
        return .string(TimeText.text(microseconds: self.now - span))
    }

    /// The given request id, or a random one, so that a retry of this call is not applied twice.
    func requestID() -> JSONValue {
        .string(self.arguments["--request-id"] ?? "profilectl-\(self.terminal.unique())")
    }

    func source() -> JSONValue {
        .object(of: [
            ("platform", .string(self.arguments["--platform"] ?? "API")),
            ("name", .string("profilectl")),
        ])
    }

    func expectedRevision() throws(UsageError) -> JSONValue? {
        guard self.arguments.has("--expected-revision") else { return nil }
        return .number(String(try self.arguments.number("--expected-revision", 0)))
    }
}
