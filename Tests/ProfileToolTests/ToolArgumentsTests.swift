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
            complainLine: { text in errors.withLock { $0 += text + "\n" } }, showsProgress: false,
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
        ["health", "--address", "nowhere"], ["health", "--timeout", "0s"], ["completion", "tcsh"],
    ])
    func usageErrorsEndWithCodeTwoAndOneLine(words: [String]) {
        let errors = Mutex("")
        let terminal = ToolTerminal(
            say: { _ in }, complainLine: { text in errors.withLock { $0 += text + "\n" } },
            showsProgress: false, now: { 0 }, nanoseconds: { 0 },
            unique: { "1" })
        #expect(ToolMain.run(words, environment: [:], terminal: terminal) == 2)
        let text = errors.withLock { $0 }
        #expect(text.hasPrefix("profilectl: ") && text.split(separator: "\n").count == 1)
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
            digest: .max, project: "default", batch: 200, begunAt: 1_800_000_000_123_456)
        position.lines = 12
        position.rejected = 1
        position.isComplete = true
        #expect(ImportPosition(json: position.json) == position)
        #expect(ImportPosition(json: .object([])) == nil)
    }
}
