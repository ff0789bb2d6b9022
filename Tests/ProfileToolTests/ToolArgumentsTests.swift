import Glibc
import ProfileClient
import ProfileTool
import Synchronization
import Testing

@Suite struct ToolArgumentsTests {
    /// The result of a run without a server.
    private func run(_ words: String...) -> (code: Int32, out: String, errors: String) {
        let out = Mutex("")
        let errors = Mutex("")
        let terminal = ToolTerminal(
            say: { text in out.withLock { $0 += text } },
            complainLine: { text in errors.withLock { $0 += text + "\n" } },
            now: { 0 }, nanoseconds: { 0 }, unique: { "1" })
        let code = ToolMain.run(words, environment: [:], terminal: terminal)
        return (code, out.withLock { $0 }, errors.withLock { $0 })
    }

    @Test func flagsMayAppearAnywhereWithTheirValueInEitherForm() throws {
        let parsed = try ToolArguments([
            "--json", "track", "anna", "--label=a=b", "buy", "--tag", "x", "--tag", "y", "--",
            "--n=1",
        ])
        #expect(parsed.positional == ["anna", "buy", "--n=1"])
        #expect(
            parsed["--label"] == "a=b" && parsed.all("--tag") == ["x", "y"] && parsed.has("--json"))
    }

    @Test(arguments: [
        (["trakc", "anna"], "did you mean track?"),
        (["get", "anna", "--evnets", "3"], "did you mean --events?"),
        (["get", "--events"], "needs a value"),
        (["--json"], "no command"), (["get", "a", "--json=yes"], "takes no value"),
        (["--label", "x", "get"], "before the command"),
    ])
    func errorsNameTheWrongWord(words: [String], part: String) throws {
        let error = try #require(throws: UsageError.self) { try ToolArguments(words) }
        #expect(error.text.contains(part))
    }

    @Test(arguments: [
        ["get"], ["get", "a", "b"], ["track", "anna"], ["track", "anna", "buy", "amount"],
        ["identify"], ["identify", "a", "--logged-out"],
        ["subscribe", "anna", "fax"], ["import", "/nowhere"], ["track", "a", "b", "--ago", "soon"],
        ["get", "a", "--events", "-1"],
        ["verify"], ["dump"], ["restore", "a"], ["erase"], ["erase", "anna"],
        ["erase", "a", "b", "--yes"], ["backup"], ["snapshot", "a"], ["dump", "a", "b"],
        ["project"], ["project", "crate"], ["project", "create"], ["project", "list", "x"],
        ["project", "get", "a", "b"], ["project", "set", "a"], ["project", "delete"],
        ["project", "set", "a", "retention=3"], ["project", "set", "a", "merge_policy=both"],
        ["project", "set", "double_opt_in=fax"], ["project", "set", "late_window_seconds=-1"],
        ["project", "set", "topic_default_unsubscribed=yes"], ["project", "create", "a", "b"],
        ["project", "set", "event_retention_days=1", "event_retention_days=2"],
        ["key"], ["key", "creat"], ["key", "create"], ["key", "create", "--scopes", "reed"],
        ["key", "create", "--scopes", "read", "--operator"], ["key", "revoke"],
        ["key", "create", "x", "--scopes", "read"], ["key", "list", "x"],
        ["key", "create", "--scopes", "read", "--expires", "soon"],
        ["key", "create", "--scopes", "read", "--rate", "4294967296"],
        ["key", "create", "--scopes", "read", "--expires", "90d", "--request-id", "r"],
        ["verify", "a", "--project", "p"], ["restore", "a", "b", "--project", "p"],
        ["key", "list", "--key-file", "/nowhere"], ["get", "anna", "--key", "secret"],
        ["watch", "anna"], ["watch", "--from", "now"], ["watch", "--kind", "event"],
        ["watch", "--kind", "event_stored,"], ["watch", "--channel", "fax"],
        ["watch", "--channel", "email/news"], ["trigger"], ["trigger", "make"],
        ["trigger", "create"], ["trigger", "create", "x", "--event", "y"],
        ["trigger", "create", "--event", "y", "--delay", "soon"],
        ["trigger", "create", "--event", "y", "--cap", "3"],
        ["trigger", "create", "--event", "y", "--guard", "fax"], ["trigger", "delete"],
        ["trigger", "list", "x"], ["trigger", "follow"],
        ["trigger", "follow", "x", "--in-flight", "-1"],
        ["health", "--address", "nowhere"], ["health", "--timeout", "0s"], ["completion", "tcsh"],
    ])
    func usageErrorsEndWithCodeTwoAndOneLine(words: [String]) {
        let errors = Mutex("")
        let terminal = ToolTerminal(
            say: { _ in }, complainLine: { text in errors.withLock { $0 += text + "\n" } },
            now: { 0 }, nanoseconds: { 0 }, unique: { "1" })
        #expect(ToolMain.run(words, environment: [:], terminal: terminal) == 2)
        let text = errors.withLock { $0 }
        #expect(text.hasPrefix("profilectl: ") && text.split(separator: "\n").count == 1)
    }

    @Test(arguments: [
        (["project", "frob"], "`profilectl help project` explains"),
        (["key", "revok"], "did you mean revoke?; `profilectl help key` explains"),
        (
            ["key", "create", "--scopes", "read", "--expires", "1d", "--request-id", "r"],
            "it must be a time, such as 1970-01-02T00:00:00Z"
        ),
        (["verify", "a", "--project", "p"], "verify reads all projects"),
    ])
    func usageErrorsSayWhatToDo(words: [String], part: String) {
        let errors = Mutex("")
        let terminal = ToolTerminal(
            say: { _ in }, complainLine: { text in errors.withLock { $0 += text } }, now: { 0 },
            nanoseconds: { 0 }, unique: { "1" })
        #expect(ToolMain.run(words, environment: [:], terminal: terminal) == 2)
        #expect(errors.withLock { $0 }.contains(part))
    }

    @Test(arguments: ["key", "project"])
    func wordsOfACommandAreInOneColumnOfItsHelp(command: String) throws {
        let help = self.run("help", command).out
        for word in try #require(ToolCommand.all.first { $0.name == command }).subcommands {
            #expect(help.contains("\n  \(word) "), "\(word)")
        }
    }

    @Test func unreachableServerEndsWithCodeThree() {
        let (code, _, errors) = self.run("health", "--address", "127.0.0.1:1")
        #expect(code == 3)
        #expect(errors.contains("127.0.0.1:1") && errors.contains("is profiled running there?"))
    }

    @Test func helpListsEveryCommandAndItsFlags() {
        let overview = self.run("help").out
        for command in ToolCommand.all {
            #expect(overview.contains("  \(command.name) "))
            let help = self.run("help", command.name)
            #expect(help.code == 0)
            for option in command.options { #expect(help.out.contains(option.name)) }
            #expect(self.run(command.name, "--help").out == help.out || command.name == "help")
        }
        #expect(self.run("--help").out == overview)
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func completionOffersEveryCommandAndFlag(shell: String) throws {
        let script = try #require(Completion.script(for: shell))
        for command in ToolCommand.all {
            #expect(script.contains(command.name))
            for option in command.options {
                #expect(
                    script.contains(
                        shell == "fish" ? "-l \(option.name.dropFirst(2)) " : option.name))
            }
        }
    }

    @Test func importPositionRoundTrips() {
        var position = ImportPosition(
            subject: .stream, digest: .max, project: "default", batch: 200,
            begunAt: 1_800_000_000_123_456)
        position.lines = 12
        position.rejected = 1
        position.rejectsBytes = 77
        position.isComplete = true
        #expect(ImportPosition(json: position.json) == position)
        #expect(ImportPosition(json: .object([])) == nil)
    }

    @Test(arguments: ["0", "-1", "1001", "99999999999999999999"])
    func importPositionWithAnImpossibleBatchIsInvalid(batch: String) throws {
        let position = ImportPosition(
            subject: .file, digest: 1, project: "default", batch: 200, begunAt: 0)
        let json = JSONValue.object(
            position.json.members.map { $0.name == "batch" ? .init("batch", .number(batch)) : $0 })
        #expect(ImportPosition(json: json) == nil)
    }

    /// A run would count beyond the largest number.
    @Test(arguments: ["lines", "rejected", "rejects_bytes", "profiles", "bytes"])
    func positionsThatCannotBeCountedOnAreInvalid(name: String) {
        let whole: [[JSONValue.JSONMember]] = [
            ImportPosition(subject: .file, digest: 1, project: "default", batch: 200, begunAt: 0)
                .json.members,
            ExportPosition(project: "default", isOperations: false, lsn: 1).json.members,
        ]
        for count in [Int.max, 1 << 62, -1] {
            for members in whole where members.contains(where: { $0.name == name }) {
                let json = JSONValue.object(
                    members.map { $0.name == name ? .init(name, .number(String(count))) : $0 })
                let isRead = ImportPosition(json: json) != nil || ExportPosition(json: json) != nil
                #expect(isRead == (count == 1 << 62))
            }
        }
    }

    @Test func versionAndHelpHaveShortFormsEverywhere() {
        #expect(self.run("--version").out == "profilectl \(ClientVersion.program)\n")
        for command in ToolCommand.all {
            #expect(self.run(command.name, "-h").out == self.run(command.name, "--help").out)
            #expect(self.run(command.name, "--version").out.hasPrefix("profilectl "))
        }
        #expect(self.run("-h").out == ToolCommand.overview)
    }

    @Test(arguments: [ENOSPC, EBADF, EIO, EFBIG])
    func outputThatCannotBeWrittenIsAnError(failure: Int32) {
        let errors = Mutex("")
        var terminal = ToolTerminal(
            say: { _ in }, complainLine: { text in errors.withLock { $0 += text } }, now: { 0 },
            nanoseconds: { 0 }, unique: { "1" })
        terminal.outputFailure = { failure }
        #expect(ToolMain.run(["help"], environment: [:], terminal: terminal) == 6)
        #expect(errors.withLock { $0 }.contains("the output is incomplete"))
        // The code of a command that failed is kept.
        #expect(ToolMain.run(["help", "x"], environment: [:], terminal: terminal) == 2)
    }

    @Test func readerThatLeftEarlyEndsInSilence() {
        let errors = Mutex("")
        var terminal = ToolTerminal(
            say: { _ in }, complainLine: { text in errors.withLock { $0 += text } }, now: { 0 },
            nanoseconds: { 0 }, unique: { "1" })
        terminal.outputFailure = { EPIPE }
        #expect(ToolMain.run(["help"], environment: [:], terminal: terminal) == 141)
        #expect(errors.withLock { $0 }.isEmpty)
    }

    @Test func outputErrorsAreNoticedWhenTheOutputIsClosed() {
        // An error that only close reports, as of a network file system.
        var terminal = ToolTerminal(
            say: { _ in }, complainLine: { _ in }, now: { 0 }, nanoseconds: { 0 }, unique: { "1" })
        let isClosed = Mutex(false)
        terminal.closeOutput = { isClosed.withLock { $0 = true } }
        terminal.outputFailure = { isClosed.withLock { $0 } ? EDQUOT : nil }
        #expect(ToolMain.run(["help"], environment: [:], terminal: terminal) == 6)
    }

    @Test(arguments: [
        ("https://a.example:1", "https is not supported"), ("ftp://a:1", "unknown scheme ftp"),
        ("http://a:1/b", "without path"), ("http://a", "port is missing"), ("a:0", "1 to 65535"),
    ])
    func wrongAddressesAreExplained(address: String, part: String) {
        let (code, _, errors) = self.run("health", "--address", address)
        #expect(code == 2 && errors.contains(part) && errors.contains(address))
    }

    @Test func escapeCodesNeedATerminalThatHasThem() {
        #expect(ToolTerminal.wantsEscapeCodes(["TERM": "xterm"]))
        #expect(ToolTerminal.wantsEscapeCodes(["TERM": "xterm", "NO_COLOR": ""]))
        #expect(!ToolTerminal.wantsEscapeCodes(["TERM": "dumb"]))
        #expect(!ToolTerminal.wantsEscapeCodes(["TERM": "xterm", "NO_COLOR": "1"]))
    }

    @Test func wordsOfTheUserCannotFakeLines() {
        let errors = self.run("get", "a", "b\n\u{1B}[2Jprofilectl: fine").errors
        #expect(errors.contains("b\\u{a}\\u{1b}[2J") && errors.filter { $0 == "\n" }.count == 1)
    }
}
