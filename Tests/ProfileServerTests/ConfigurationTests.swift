import IOCore
import ProfileServer
import Testing

@Suite struct ConfigurationTests {
    private func resolve(
        _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil,
        cores: Int = 4, hasKeyVariable: Bool = false, hasTLS: Bool = true
    ) throws(ConfigurationError) -> Configuration.Invocation {
        let reader: Configuration.FileReader = { path, bytesMax throws(IOError) in
            guard let file, path == "p.conf" else {
                throw IOError(
                    .notFound, operation: "open", subject: path, code: 2, meaning: "No such file")
            }
            return Array(file.utf8.prefix(bytesMax))
        }
        return try Configuration.resolve(
            arguments: arguments, environment: environment, cores: cores,
            hasOperatorKeyVariable: hasKeyVariable, hasTLS: hasTLS, readFile: reader)
    }

    private func error(
        _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
    ) throws -> ConfigurationError {
        try #require(throws: ConfigurationError.self) {
            try self.resolve(arguments, environment: environment, file: file)
        }
    }

    /// A value other than the default, as given and as stored, for every setting of the table.
    static let samples: [(name: String, value: String, shown: String)] = [
        ("data-dir", "/srv/a # b", "/srv/a # b"), ("listen", "localhost:1", "127.0.0.1:1"),
        ("insecure-listen", "on", "on"), ("operator-key-file", "/run/secrets/k", "/run/secrets/k"),
        ("audit-log", "/var/log/a.jsonl", "/var/log/a.jsonl"),
        ("tls-certificate", "/etc/tls/c.pem", "/etc/tls/c.pem"),
        ("tls-key", "/etc/tls/k.pem", "/etc/tls/k.pem"),
        ("tls-client-ca", "/etc/tls/ca.pem", "/etc/tls/ca.pem"), ("tls-verify-depth", "0", "0"),
        ("tls-client-keys", "/etc/tls/keys", "/etc/tls/keys"), ("admin-tls", "mutual", "mutual"),
        ("admin-listen", "[::]:65535", "[::]:65535"),
        ("console-listen", "localhost:2", "127.0.0.1:2"), ("loops", "64", "64"),
        ("connections-per-address", "1000", "1000"),
        ("segment-bytes", "1024 KiB", "1MiB"), ("memory-limit", "3 GiB", "3GiB"),
        ("snapshot-log-bytes", "1GiB", "1GiB"), ("snapshot-seconds", "60", "60"),
        ("feed-bytes", "64 MiB", "64MiB"), ("watchers-max", "10000", "10000"),
        ("accept-log-loss", "18446744073709551615", "18446744073709551615"),
        ("projects-max", "1", "1"), ("project-delete-seconds", "0", "0"),
        ("drain-seconds", "0", "0"),
        ("reflection", "off", "off"), ("log-level", "debug", "debug"),
        ("access-log", "/var/log/c.jsonl", "/var/log/c.jsonl"),
        ("access-log-sample", "0.050", "0.05"), ("access-log-slow-milliseconds", "1", "1"),
        ("otlp-endpoint", "http://localhost:4318", "http://127.0.0.1:4318/v1/traces"),
        ("otlp-sample", "1.0", "1"), ("metrics-projects", "0", "0"),
    ]

    @Test func everySettingHasASample() {
        #expect(Setting.all.map(\.name) == Self.samples.map(\.name))
    }

    /// Every setting without a value of its own, as `--print-config` prints it.
    private static let defaults = [
        "data-dir = ./data", "listen = 127.0.0.1:50051", "insecure-listen = off",
        "operator-key-file = none", "audit-log = none", "tls-certificate = none",
        "tls-key = none", "tls-client-ca = none", "tls-verify-depth = 2",
        "tls-client-keys = none", "admin-tls = off", "admin-listen = 127.0.0.1:9464",
        "console-listen = none", "loops = 4", "connections-per-address = 256",
        "segment-bytes = 64MiB", "memory-limit = 0", "snapshot-log-bytes = 256MiB",
        "snapshot-seconds = 28800", "feed-bytes = 4GiB", "watchers-max = 1000",
        "accept-log-loss = none", "projects-max = 10000", "project-delete-seconds = 86400",
        "drain-seconds = 10", "reflection = on", "log-level = info", "access-log = none",
        "access-log-sample = 1", "access-log-slow-milliseconds = 250", "otlp-endpoint = none",
        "otlp-sample = 0.01", "metrics-projects = 100",
    ]

    @Test func emptyCommandLineGivesTheDefaults() throws {
        let expected = Self.defaults.map { "# default\n\($0)\n" }.joined()
        #expect(try self.resolve(["--print-config"]) == .printConfiguration(expected))
        #expect(try self.resolve() == .serve(.defaults(cores: 4)))
    }

    @Test(arguments: [(0, 1), (1, 1), (64, 64), (65, 64)])
    func coresDetermineTheDefaultOfLoopsWithinItsLimits(cores: Int, loops: Int) {
        #expect(Configuration.defaults(cores: cores).loops == loops)
    }

    /// Three quarters, within the allowed range, and no limit if the machine's memory is unknown.
    @Test(arguments: [
        (0, 0), (1 << 30, 768 << 20), (1, 16 << 20), (1 << 40, 56 << 30),
        (1_000_000_007, 715 << 20),
    ])
    func memoryDeterminesTheDefaultMemoryLimit(memoryBytes: Int, limit: Int) {
        #expect(Configuration.defaults(cores: 1, memoryBytes: memoryBytes).memoryLimit == limit)
    }

    @Test(arguments: ["1", "15MiB", "57GiB", "-1", "all", "1GB"])
    func memoryLimitOutsideItsRangeIsRejected(value: String) throws {
        #expect(try self.error(["--memory-limit", value]).setting == "memory-limit")
    }

    @Test(arguments: Self.samples)
    func everySettingIsTakenFromEachSource(name: String, value: String, shown: String) throws {
        let setting = try #require(Setting.all.first { $0.name == name })
        // What settings of TLS need beside them.
        var others =
            name.contains("tls-") || name.hasSuffix("-tls")
            ? [
                "PROFILES_TLS_CERTIFICATE": "c", "PROFILES_TLS_KEY": "k",
                "PROFILES_TLS_CLIENT_CA": "a", "PROFILES_OPERATOR_KEY_FILE": "o",
            ] : [:]
        others[setting.environmentName] = nil
        let ways: [(String, Configuration.Invocation)] = [
            (
                "command line",
                try self.resolve(["--print-config", setting.flag, value], environment: others)
            ),
            (
                "command line",
                try self.resolve(
                    ["\(setting.flag)=\(value)", "--print-config"], environment: others)
            ),
            (
                "environment",
                try self.resolve(
                    ["--print-config"],
                    environment: others.merging([setting.environmentName: value]) { $1 })
            ),
            (
                "p.conf:2",
                try self.resolve(
                    ["--print-config", "--config", "p.conf"], environment: others,
                    file: "# c\n\t\(name)  =  \(value) \r\n")
            ),
        ]
        for (source, invocation) in ways {
            guard case .printConfiguration(let text) = invocation else {
                Issue.record("not printed")
                continue
            }
            #expect(text.contains("# \(source)\n\(name) = \(shown)\n"))
            #expect(
                text.split(separator: "# default\n", omittingEmptySubsequences: true).count >= 6)
        }
    }

    @Test func flagOverridesEnvironmentOverridesFile() throws {
        let file = "loops = 1\ndrain-seconds = 1\nlog-level = error\n"
        let invocation = try self.resolve(
            ["--loops", "3"],
            environment: [
                "PROFILES_LOOPS": "2", "PROFILES_DRAIN_SECONDS": "2", "PROFILES_CONFIG": "p.conf",
            ], file: file)
        var expected = Configuration.defaults(cores: 4)
        expected.loops = 3
        expected.drainSeconds = 2
        expected.logLevel = .error
        #expect(invocation == .serve(expected))
    }

    @Test func printedConfigurationGivesTheSameConfiguration() throws {
        let arguments = Self.samples.map { "--\($0.name)=\($0.value)" }
        guard case .printConfiguration(let text) = try self.resolve(arguments + ["--print-config"])
        else {
            Issue.record("not printed")
            return
        }
        #expect(try self.resolve(arguments) == self.resolve(["--config=p.conf"], file: text))
    }

    @Test func helpAndVersionWorkDespiteOtherErrors() throws {
        guard case .printHelp(let help) = try self.resolve(["--nonsense", "--help"]) else {
            Issue.record("no help")
            return
        }
        for setting in Setting.all {
            #expect(help.contains("  \(setting.flag) \(setting.valueName)\n"))
            #expect(help.contains(setting.environmentName) && help.contains(setting.allowed))
        }
        #expect(help.contains("Default 64MiB") && help.contains("  4  data directory locked"))
        #expect(try self.resolve(["--loops", "0", "--version"]) == .printVersion)
    }

    @Test func checkedConfigurationIsShownAsItIsPrinted() throws {
        let arguments = ["--loops", "2", "--config", "p.conf"]
        let (environment, file) = (["PROFILES_SEGMENT_BYTES": "2MiB"], "log-level = debug\n")
        guard
            case .printConfiguration(let printed) = try self.resolve(
                arguments + ["--print-config"], environment: environment, file: file)
        else {
            Issue.record("not printed")
            return
        }
        guard
            case .checkConfiguration(let checked, let text) = try self.resolve(
                arguments + ["--check-config"], environment: environment, file: file)
        else {
            Issue.record("not checked")
            return
        }
        #expect(text == "# the configuration is valid\n" + printed)
        #expect(
            try self.resolve(arguments, environment: environment, file: file) == .serve(checked))
        #expect(
            printed.contains("# command line\nloops = 2\n")
                && printed.contains("# environment\nsegment-bytes = 2MiB\n"))
        #expect(
            printed.contains("# p.conf:1\nlog-level = debug\n")
                && printed.contains("# default\nlisten = "))
    }

    @Test(arguments: [
        ("data-dir", ["", " a", "a ", "a\nb", String(repeating: "a", count: 1_025)]),
        (
            "listen",
            [
                "", "50051", ":50051", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                "127.0.0.1:+1", "127.0.0.1:01", "127.0.0.01:1", "127.0.0.256:1", "127.0.0:1",
                "example.org:1", "LOCALHOST:1", "::1:1", "[::1]", "[::1:1", "[127.0.0.1]:1",
                "[::1%lo]:1", "[1:2:3:4:5:6:7]:1", "[1:2:3:4:5:6:7:8:9]:1", "[1::2::3]:1",
                "[:::]:1", "[12345::]:1", "[1:2:3:4:5:6:7::8]:1", "[+1::]:1",
            ]
        ),
        ("console-listen", ["", "off", "0.0.0.0:1", "[::]:1", "192.0.2.1:1", "127.0.0.1"]),
        ("loops", ["", "0", "65", "1.0", "1e1", " 1", "٣"]),
        (
            "segment-bytes",
            [
                "", "0", "1048575", "1073741825", "1025MiB", "2GiB", "64MB", "64mib", "MiB",
                "1.5MiB", "-1MiB", "9999999999GiB", "9999999999",
            ]
        ),
        ("connections-per-address", ["", "0", "65537", "-1"]),
        ("snapshot-log-bytes", ["", "0", "1048575", "1025GiB"]),
        ("snapshot-seconds", ["0", "28801", "1h"]),
        ("feed-bytes", ["", "0", "63MiB", "1025GiB"]), ("watchers-max", ["", "0", "10001", "-1"]),
        ("accept-log-loss", ["", "-1", "+1", "01", "18446744073709551616", "all"]),
        ("drain-seconds", ["", "-1", "3601", "10s"]), ("reflection", ["", "ON", "true"]),
        ("log-level", ["", "INFO", "trace"]), ("access-log", ["", " a", "a\nb"]),
        ("access-log-sample", ["", ".5", "1.1", "2", "-0", "1e-3", "0.1234567", "0.", "5%"]),
        ("access-log-slow-milliseconds", ["", "0", "60001", "1s"]),
        (
            "otlp-endpoint",
            [
                "", "127.0.0.1:4318", "https://127.0.0.1:4318", "http://collector:4318",
                "http://127.0.0.1:0", "http://127.0.0.1", "http://127.0.0.1:4318/a b",
                "HTTP://127.0.0.1:1", "http://127.0.0.1:4318/#x",
            ]
        ),
        ("otlp-sample", ["", "1.000001"]), ("metrics-projects", ["", "-1", "501"]),
    ])
    func valueOutsideItsLimitsIsRejected(name: String, values: [String]) throws {
        let setting = try #require(Setting.all.first { $0.name == name })
        for value in values {
            let error = try self.error(["\(setting.flag)=\(value)"])
            #expect(error.source == .flag && error.setting == name, "\(value)")
            #expect(error.problem == .notAllowed && error.found == value, "\(value)")
            #expect(error.allowed == setting.allowed)
        }
    }

    @Test(arguments: [
        ("127.0.0.1:0", true), ("127.9.9.9:1", true), ("localhost:1", true), ("[::1]:0", true),
        ("[0:0:0:0:0:0:0:1]:1", true), ("[::ffff:127.0.0.1]:1", true), ("0.0.0.0:1", false),
        ("10.0.0.1:1", false), ("128.0.0.1:1", false), ("[::]:1", false), ("[::2]:1", false),
        ("[::ffff:10.0.0.1]:1", false), ("[fe80::1]:1", false), ("[1::1]:1", false),
        ("[1::ffff:127.0.0.1]:1", false),
    ])
    func endpointKnowsWhetherItIsLoopback(text: String, isLoopback: Bool) throws {
        let endpoint = try #require(Endpoint(text))
        #expect(endpoint.isLoopback == isLoopback)
        #expect(Endpoint(endpoint.description) == endpoint)
    }

    @Test func listeningBeyondLoopbackNeedsKeysWhileAdminDoesNot() throws {
        let error = try self.error(environment: ["PROFILES_LISTEN": "0.0.0.0:50051"])
        #expect(error.problem == .notLoopback && error.source == .environment)
        #expect(
            error.description
                == #"environment: PROFILES_LISTEN: not on loopback, found "0.0.0.0:50051"; "#
                + "allowed: "
                + "a loopback address only, since without keys every caller is an operator;"
                + " with --operator-key-file, and --tls-certificate or --insecure-listen, any"
                + " address")
        guard case .serve = try self.resolve(["--admin-listen", "0.0.0.0:9464"]) else {
            Issue.record("rejected")
            return
        }
    }

    /// S3: plain text leaves the machine only if somebody says so, and never without keys.
    @Test(arguments: [
        (["--insecure-listen"], false, false), (["--operator-key-file=k"], false, false),
        ([], true, false), (["--operator-key-file=k", "--insecure-listen", "off"], false, false),
        (["--operator-key-file=k", "--insecure-listen"], false, true),
        (["--insecure-listen=on"], true, true),
        // TLS takes the flag's place, not that of keys.
        (["--tls-certificate=c", "--tls-key=k"], true, true),
        (["--tls-certificate=c", "--tls-key=k"], false, false),
    ])
    func listeningBeyondLoopbackNeedsKeysAndTheFlag(
        flags: [String], hasKeyVariable: Bool, isAccepted: Bool
    ) {
        let flags = ["--listen", "0.0.0.0:1"] + flags
        let invocation = try? self.resolve(flags, hasKeyVariable: hasKeyVariable)
        #expect((invocation != nil) == isAccepted)
    }

    @Test func bareSwitchTakesNoOtherFlagAsItsValue() throws {
        guard case .serve(let first) = try self.resolve(["--insecure-listen", "--loops", "2"])
        else {
            Issue.record("not served")
            return
        }
        #expect(first.insecureListen && first.loops == 2)
        #expect(try self.error(["--insecure-listen", "maybe"]).problem == .notAllowed)
        #expect(try self.error(["--reflection"]).problem == .missingValue)
    }

    @Test func keysFromTwoSourcesAreRejected() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try self.resolve(["--operator-key-file", "k"], hasKeyVariable: true)
        }
        #expect(error.setting == "operator-key-file" && error.source == .flag)
    }

    /// S18: whatever is mistaken for a key's file, nothing that is printed has the secret.
    @Test func keyOnTheCommandLineIsRejectedWithoutItsSecret() throws {
        let secret = String(repeating: "S", count: 43)
        let key = "pk_0123456789abcdef_\(secret)"
        for arguments in [
            ["--operator-key-file", key], ["--operator-key-file=\(key)"], [key], ["--\(key)"],
            ["--loops", key], ["--config", key], ["--data-dir", "a", "--data-dir", key],
        ] {
            let text = try self.error(arguments).description
            #expect(!text.contains("SSS") && text.contains("pk_0123456789abcdef_***"))
        }
        let text = try self.error(environment: ["PROFILES_OPERATOR_KEY_FILE": key]).description
        #expect(!text.contains("SSS"))
    }

    @Test func keysInTheEnvironmentAreMentionedAndNotPrinted() throws {
        guard
            case .printConfiguration(let text) = try self.resolve(
                ["--print-config"], hasKeyVariable: true)
        else {
            Issue.record("not printed")
            return
        }
        #expect(
            text.hasSuffix(
                "# environment: PROFILES_OPERATOR_KEY is set; its keys are not shown\n"))
    }

    @Test func oneEndpointForBothIsRejectedUnlessThePortIsZero() throws {
        let error = try self.error(["--admin-listen", "127.0.0.1:50051"])
        #expect(error.setting == "admin-listen" && error.problem == .notAllowed)
        guard
            case .serve = try self.resolve(
                ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        else {
            Issue.record("rejected")
            return
        }
    }

    @Test(arguments: ["127.0.0.1:50051", "127.0.0.1:9464"])
    func profilePageHasAnEndpointOfItsOwn(endpoint: String) throws {
        let error = try self.error(["--console-listen", endpoint])
        #expect(error.setting == "console-listen" && error.problem == .notAllowed)
    }

    @Test(arguments: [
        (["--lops", "1"], "command line: --lops: unknown setting"),
        (["x"], "command line: x: unknown setting"),
        (["--"], "command line: --: unknown setting"),
        (["-l"], "command line: -l: unknown setting"),
        (["--loops"], #"command line: --loops: value missing, found "";"#),
        (["--loops", "--print-config"], #"value missing, found "--print-config";"#),
        (["--loops=1", "--loops=2"], #"command line: --loops: given twice, found "2";"#),
        (["--check-config=yes"], #"--check-config: takes no value, found "yes";"#),
        (["--loops", "0"], #"command line: --loops: found "0"; allowed: 1...64"#),
        (["--loops", "a\nb"], #"found "a\u000ab";"#),
        (["--config", ""], "command line: --config: found"),
        (
            ["--config", "q.conf"],
            "q.conf: config: cannot be read, found \"open of q.conf failed: No such file"
        ),
    ])
    func wrongCommandLineNamesTheFlag(arguments: [String], text: String) throws {
        #expect(try self.error(arguments).description.contains(text))
    }

    @Test(arguments: [
        (
            "loops = 1\n\nlops = 1",
            #"p.conf:3: lops: unknown setting, found "1"; allowed: data-dir"#
        ),
        ("config = x", "p.conf:1: config: unknown setting"),
        ("loops", #"p.conf:1: config: malformed line, found "loops";"#),
        ("loops = 1\nloops = 1", #"p.conf:2: loops: given twice, found "1";"#),
        ("\r\nloops = x", #"p.conf:2: loops: found "x"; allowed: 1...64"#),
        ("loops =", #"p.conf:1: loops: found "";"#), ("= 1", "p.conf:1: : unknown setting"),
        (String(repeating: "#", count: 65_537), "p.conf: config: cannot be read"),
    ])
    func wrongFileNamesTheLine(file: String, text: String) throws {
        #expect(try self.error(["--config", "p.conf"], file: file).description.contains(text))
    }

    @Test func fileThatIsNotUTF8IsRejected() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try Configuration.resolve(
                arguments: ["--config=p"], environment: [:], cores: 1,
                readFile: { _, _ throws(IOError) in [0x23, 0xFF] })
        }
        #expect(error.problem == .unreadableFile)
    }

    @Test func overriddenInvalidValueIsRejectedToo() throws {
        let error = try self.error(["--loops", "1"], environment: ["PROFILES_LOOPS": "many"])
        #expect(error.source == .environment)
    }

    @Test func variablesThatAreNotSettingsAreIgnored() throws {
        // An orchestrator sets such variables for a service that is named "profiles".
        let environment = [
            "PROFILES_SERVICE_HOST": "10.0.0.1", "PROFILES_PORT": "tcp://10.0.0.1:1",
        ]
        #expect(try self.resolve(environment: environment) == .serve(.defaults(cores: 4)))
    }
}
