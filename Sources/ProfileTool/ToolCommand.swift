/// One command of `profilectl`; its help, its accepted flags and its completion are generated from
/// this table.
package struct ToolCommand: Sendable {
    /// One flag of a command.
    package struct Option: Sendable {
        /// With its dashes.
        package let name: String
        /// The value's name in the help; `nil`: the flag takes no value.
        package let value: String?
        package let help: String
        /// The values that completion offers.
        package let choices: [String]

        init(_ name: String, _ value: String? = nil, _ help: String, choices: [String] = []) {
            self.name = name
            self.value = value
            self.help = help
            self.choices = choices
        }
    }

    package let name: String
    /// The positional arguments, as shown in the help.
    let arguments: String
    let summary: String
    let details: String
    /// NAME=VALUE arguments that completion offers, each up to its equals sign.
    let assignments: [String]
    package let options: [Option]
    let examples: [String]

    private init(
        _ name: String, _ arguments: String, _ summary: String, details: String = "",
        assignments: [String] = [], options: [Option] = [], examples: [String] = []
    ) {
        self.assignments = assignments
        self.name = name
        self.arguments = arguments
        self.summary = summary
        self.details = details
        self.options = options
        self.examples = examples
    }

    /// Those of the subcommands that take assignments.
    var assignees: [String] {
        self.assignments.isEmpty ? [] : self.subcommands.filter { ["create", "set"].contains($0) }
    }

    /// The words of which the first argument is one; none if it is something else.
    package var subcommands: [String] {
        let words = (self.arguments.split(separator: " ").first ?? "").split(separator: "|")
        return words.count > 1 && words.allSatisfy { $0.allSatisfy(\.isLowercase) }
            ? words.map(String.init) : []
    }

    static func named(_ name: String) -> ToolCommand? {
        self.all.first { $0.name == name }
    }

    /// Flags that every command accepts.
    package static let globalOptions: [Option] = [
        Option(
            "--address", "HOST:PORT",
            "address of the service (127.0.0.1:50051, or PROFILES_ADDRESS); "
                + "https://HOST:PORT means --tls"),
        Option("--tls", nil, "encrypts the connection; so do the four flags that follow"),
        Option(
            "--ca", "FILE",
            "PEM file of authorities that the server's certificate must come from (those of the "
                + "system, or PROFILES_CA)"),
        Option("--cert", "FILE", "PEM file of a client certificate to show"),
        Option("--cert-key", "FILE", "PEM file of its private key, without a passphrase"),
        Option("--server-name", "NAME", "name that the certificate must have (that of --address)"),
        Option("--project", "NAME", "the project (default, or PROFILES_PROJECT)"),
        Option(
            "--key-file", "FILE",
            "its first key is the one to call with; blank lines and # lines are skipped "
                + "(PROFILES_KEY_FILE, or the key itself in PROFILES_KEY)"),
        Option("--timeout", "SPAN", "how long to wait for a response, including retries (10s)"),
        Option("--json", nil, "prints responses as JSON, one per line, for scripts"),
        Option("--help", nil, "help for the command; also -h"),
        Option("--version", nil, "prints the version"),
    ]

    private static let platforms = ["app_ios", "app_android", "web", "api", "import"]
    private static let who = "WHO is a custom ID, or device:ID, profile:ID, custom:ID."
    private static let requestID = Option(
        "--request-id", "ID",
        "a repeated call with this id returns the first response (default: random)")
    private static let times = [
        Option("--at", "TIME", "when it happened, RFC 3339 (now)"),
        Option("--ago", "SPAN", "how long ago it happened, such as 90s, 5m, 3h, 2d"),
    ]
    private static let platform = Option(
        "--platform", "NAME", "where it came from", choices: platforms)
    private static let revision = Option(
        "--expected-revision", "N",
        "rejects the call unless the profile has this revision; 0: unless there is no profile")
    private static let consentOptions =
        [
            Option(
                "--source", "WHO", "who decided (api)",
                choices: [
                    "user", "one_click", "sms_keyword", "preference_center", "api", "import",
                    "support",
                ]),
            Option("--method", "TEXT", "evidence: how, such as a form"),
            Option(
                "--reference", "TEXT",
                "evidence: a ticket or document; support needs it to re-subscribe a person"
            ),
            Option("--actor", "TEXT", "evidence: who entered it"),
        ] + times + [requestID]

    /// In the order of help.
    package static let all: [ToolCommand] = [
        ToolCommand(
            "identify", "[CUSTOM_ID] [NAME=VALUE]...",
            "links a device and a person, sets attributes",
            details: "Without a custom ID the attributes are set on the profile of the device.\n"
                + ValueText.help
                + "\n  name+=[a,b]    adds to a list           name-=[a,b]    removes from a list"
                + "\n  email_address, phone_number, language, region and timezone are the native "
                + "attributes."
                + "\nA custom ID with an equals sign needs its prefix, custom:a=b, or a -- before "
                + "it.",
            options: [
                Option("--device", "ID", "the installation id of the device"),
                Option("--logged-out", nil, "the person has logged out on the device"),
                Option("--delete", "NAME", "deletes an attribute; may be given several times"),
                revision, platform, requestID,
            ] + times,
            examples: [
                "profilectl identify anna --device phone-1 email_address=anna@example.org "
                    + "plan=gold",
                "profilectl identify --device phone-1 --logged-out",
                "profilectl identify anna interests+=[shoes,hats] --delete plan",
            ]),
        ToolCommand(
            "track", "WHO EVENT [NAME=VALUE]...", "stores an event of a person",
            details: who + " An unknown person is created.\n" + ValueText.help,
            options: [
                Option(
                    "--event-id", "ID",
                    "an event with the same id is stored once (default: generated by the server)"),
                Option("--label", "TEXT", "a label"),
                Option("--tag", "TEXT", "a tag; may be given several times"),
                Option("--historical", nil, "accepts events older than 24 h; fires no trigger"),
                Option("--must-exist", nil, "rejects an unknown person instead of creating it"),
                revision, platform, requestID,
            ] + times,
            examples: [
                "profilectl track anna purchase amount=59.9 currency=EUR --event-id order-1001",
                "profilectl track device:phone-1 page_view url=https://shop.example/shoes --ago 5m",
            ]),
        ToolCommand(
            "get", "WHO", "shows a profile with its last events",
            details: who,
            options: [Option("--events", "N", "how many events to show (5; 0: none)")],
            examples: [
                "profilectl get anna",
                "profilectl --json get device:phone-1 | jq .profile.attributes",
            ]),
        ToolCommand(
            "events", "WHO", "lists events, newest first",
            details: who,
            options: [
                Option("--name", "EVENT", "only events of this name; may be given several times"),
                Option("--limit", "N", "most events to list (20; 0: all)"),
                Option("--from", "TIME", "only events at or after this time"),
                Option("--to", "TIME", "only events before this time"),
                Option("--oldest-first", nil, "lists the oldest events first"),
            ],
            examples: ["profilectl events anna --name purchase --limit 0"]),
        ToolCommand(
            "list", "[FILTER]", "lists the profiles that a filter takes",
            details: Tool.listHelp,
            options: [
                Option("--limit", "N", "most profiles to list (20; 0: all)"),
                Option(
                    "--fields", "NAMES",
                    "with --json: only these fields, such as custom_id,attributes"),
            ],
            examples: [
                #"profilectl list 'plan = "gold" AND last_seen_at > "-30d"'"#,
                "profilectl --json list 'subscriptions.EMAIL = SUBSCRIBED' --limit 0 "
                    + "--fields custom_id | jq -r .custom_id",
            ]),
        ToolCommand(
            "count", "[FILTER]", "counts the profiles that a filter takes",
            details: Tool.listHelp
                + "\nA count that could not end within --timeout is rejected at once.",
            examples: [
                "profilectl count", "profilectl count 'state = IDENTIFIED' --timeout 1m",
            ]),
        ToolCommand(
            "subscribe", "WHO CHANNEL[/TOPIC]...",
            "records that a person wants to receive messages",
            details: who + " CHANNEL is email, sms or push.", options: consentOptions,
            examples: ["profilectl subscribe anna email email/offers --source user"]),
        ToolCommand(
            "unsubscribe", "WHO CHANNEL[/TOPIC]...",
            "records that a person no longer wants to receive messages",
            details: who + " CHANNEL is email, sms or push.", options: consentOptions,
            examples: ["profilectl unsubscribe anna email/offers --source support --reference T-17"]
        ),
        ToolCommand(
            "consent", "WHO", "lists the consent ledger, oldest first",
            details: who, options: [Option("--verify", nil, "also recomputes the hash chain")],
            examples: ["profilectl consent anna --verify"]),
        ToolCommand(
            "sendable", "WHO CHANNEL[/TOPIC]",
            "shows whether a message may be sent, and if not, why",
            details: who + " Exit code 0 for both results.",
            options: [
                Option("--transactional", nil, "a message that needs no consent, such as a receipt")
            ],
            examples: ["profilectl sendable anna email/offers"]),
        ToolCommand(
            "erase", "WHO --yes",
            "permanently erases a person and everything that is known about them",
            details: who
                + "\nCustom ID and devices are blocked for 30 days, so that the person is not "
                + "created again"
                + "\nby accident; suppressions of addresses stay. The data is removed from log and "
                + "snapshots"
                + "\nwithin 24 hours.",
            options: [
                Option("--yes", nil, "required: this cannot be undone"), revision, requestID,
            ],
            examples: ["profilectl erase anna --yes", "profilectl erase device:phone-1 --yes"]),
        ToolCommand(
            "merge", "LOSER SURVIVOR", "merges one profile into another",
            details: who + "\n" + Tool.mergeHelp,
            options: [
                Option("--allow-identified", nil, "also if both have a custom ID"), revision,
                requestID,
            ],
            examples: [
                "profilectl merge device:phone-1 anna",
                "profilectl merge anna-old anna --allow-identified",
            ]),
        ToolCommand(
            "unmerge", "MERGE_ID", "undoes a merge",
            details: Tool.unmergeHelp, options: [requestID],
            examples: ["profilectl unmerge 01M8M6HK9D0016ZWDFCEP8MYE5"]),
        ToolCommand(
            "detach", "DEVICE", "moves a device to a new anonymous profile, as a log-out does",
            details:
                "DEVICE is the id of an installation. What it did before stays on the profile "
                + "that it leaves.",
            options: [requestID],
            examples: ["profilectl detach phone-1"]),
        ToolCommand(
            "import", "FILE|-",
            "imports a file of operations, one per line, or of CSV; can be resumed",
            details: Tool.importHelp,
            options: [
                Option("--map", "COLUMN=TARGET", "what a column of a CSV file is; several times"),
                Option("--dry-run", nil, "only checks: nothing is imported"),
                Option("--rejects", "FILE", "collects the rejected lines, with their reasons"),
                Option("--resume", "FILE", "the position file (FILE.position)"),
                Option("--batch", "N", "operations per chunk, 1 to 1000 (1000)"),
            ],
            examples: [
                "profilectl import shop.jsonl --dry-run",
                "profilectl import shop.jsonl",
                "profilectl import people.csv --map ID=custom_id --map Mail=email_address "
                    + "--map Plan=attributes.plan --map Newsletter=subscriptions.email",
                "profilectl import shop.jsonl --resume /var/tmp/shop.position",
                "zcat shop.jsonl.gz | profilectl import - --rejects shop.rejects",
            ]),
        ToolCommand(
            "export", "[WHO]", "prints everything of a person, or of everyone; can be resumed",
            details: Tool.exportHelp,
            options: [
                Option("--out", "FILE", "writes to this file, which is there once it is complete"),
                Option("--resume", "FILE", "the position file (FILE.position)"),
                Option("--operations", nil, "prints lines for `profilectl import`"),
            ],
            examples: [
                "profilectl export anna | jq .events",
                "profilectl export --out base.jsonl",
                "profilectl export --operations --out base.ops && profilectl --project copy import "
                    + "base.ops",
            ]),
        ToolCommand(
            "health", "[SERVICE]", "checks whether the service accepts calls",
            details:
                "SERVICE is \"\" (all), profiles.v1.Profiles or profiles.v1.Admin."
                + "\nExit code 1 if it is not serving.",
            examples: ["profilectl health"]),
        ToolCommand(
            "snapshot", "", "makes the server take a snapshot; returns when it is verified",
            details:
                "The server also takes snapshots automatically. After this one the next start "
                + "replays only"
                + "\nlater records. Two snapshots free the log before the first of them.",
            examples: ["profilectl snapshot"]),
        ToolCommand(
            "backup", "DEST",
            "makes the running server copy a new snapshot to a directory",
            details:
                "DEST is a directory on the server's machine, missing or empty. It will contain "
                + "all writes"
                + "\nacknowledged before the call, and is a data directory itself. Copy it to "
                + "another machine:"
                + "\na backup on the same disk is lost with the disk.",
            examples: ["profilectl backup /var/backups/profiles-2026-01-31"]),
        ToolCommand(
            "watch", "", "prints the changes of a project as they are committed",
            details: Tool.watchHelp,
            options: [
                Option("--from", "LSN", "begins at this position (0: now)"),
                Option("--kind", "KIND", "only changes of this kind", choices: Tool.changeKinds),
                Option("--event", "NAME", "only events of this name"),
                Option("--attribute", "NAME", "only changes of this attribute"),
                Option(
                    "--channel", "CHANNEL", "only subscriptions to and suppressions on it",
                    choices: ["email", "sms", "push"]),
                Option("--identifier", "WHO", "only changes of this person; " + who),
                Option(
                    "--include-historical", nil, "also what imports and historical events changed"),
                Option("--heartbeats", nil, "also prints how far everything has been shown"),
            ],
            examples: [
                "profilectl watch",
                "profilectl watch --event purchase --event refund --identifier anna",
                "profilectl --json watch --kind attributes_changed --from 1042 | jq .change",
            ]),
        ToolCommand(
            "trigger", "create|list|delete|follow [TRIGGER_ID]",
            "makes, lists and deletes triggers, and prints their firings",
            details: Tool.triggerHelp,
            options: [
                Option("--event", "NAME", "fires for each event of this name"),
                Option("--filter", "FILTER", "only if this holds right after the event"),
                Option("--delay", "SPAN", "fires so long after the event (0)"),
                Option("--unless", "EVENT", "not if this event was stored during the delay"),
                Option(
                    "--guard", "CHANNEL[/TOPIC]",
                    "drops firings of people who may not be sent to there when they are due"),
                Option("--cap", "N/SPAN", "at most so many firings of a person in this time"),
                Option("--ack-deadline", "SPAN", "time to acknowledge a firing (60 s)"),
                Option("--name", "TEXT", "a name for people"),
                Option("--ack", nil, "follow: acknowledges what it has printed"),
                Option("--in-flight", "N", "follow: most firings unacknowledged at a time (100)"),
                Option("--heartbeats", nil, "follow: also prints heartbeats, with --json"),
                requestID,
            ],
            examples: [
                "profilectl trigger create --event cart_updated --delay 30m --unless purchase "
                    + "--guard email/offers --cap 1/7d",
                "profilectl trigger create --event purchase --filter 'event.amount > 500'",
                "profilectl trigger list",
                "profilectl --json trigger follow 01M8M6HK9D0016ZWDFCEP8MYE5 --ack | ./send-mails",
            ]),
        ToolCommand(
            "project", "create|list|get|set|delete|stats [NAME] [OPTION=VALUE]...",
            "makes, shows, changes and deletes projects",
            details: Tool.projectHelp, assignments: Tool.projectAssignments,
            options: [
                Option("--undo", nil, "reverts a deletion; possible until the data is removed"),
                requestID,
            ],
            examples: [
                "profilectl project create shop-eu event_retention_days=30 double_opt_in=email",
                "profilectl project set shop-eu late_window_seconds=3600 double_opt_in=default",
                "profilectl project delete shop-eu && profilectl project delete shop-eu --undo",
                "profilectl --project shop-eu project stats",
            ]),
        ToolCommand(
            "key", "new|create|list|revoke [KEY_ID]", "makes, lists and revokes keys",
            details: Tool.keyHelp,
            options: [
                Option(
                    "--scopes", "SCOPES", "what the new key allows, such as read,write",
                    choices: Tool.scopes),
                Option("--operator", nil, "an operator's key, which belongs to no project"),
                Option(
                    "--expires", "WHEN",
                    "a span such as 90d, or a time; with --request-id a time only, since a span "
                        + "begins anew with each call (default: never)"),
                Option("--rate", "N", "operations a second that the key may make (no limit)"),
                Option("--concurrency", "N", "calls and streams at a time (no limit)"),
                Option("--name", "TEXT", "a name for people, up to 100 characters"), requestID,
            ],
            examples: [
                "(umask 077; profilectl key new > operator.key)",
                "(umask 077; profilectl key create --scopes read,write --name shop > shop.key)",
                "profilectl key list",
                "profilectl key revoke 0a1b2c3d4e5f6g7h",
            ]),
        ToolCommand(
            "restore", "BACKUP DIR", "verifies a backup and copies it into a new data directory",
            details:
                "Works without a server. DIR is missing or empty; the copy is read back and "
                + "compared.",
            examples: ["profilectl restore /var/backups/profiles-2026-01-31 ./data"]),
        ToolCommand(
            "verify", "DIR",
            "reads a data directory or backup completely, and reports whether it is intact",
            details:
                "Works without a server; changes nothing. Every file is read to its end, then the "
                + "state is"
                + "\nbuilt from each snapshot and, if the log reaches back that far, from the "
                + "first record: all"
                + "\nmust be equal. Exit code 3 for damage, 4 if a server has the directory open.",
            examples: [
                "profilectl verify ./data",
                "profilectl --json verify /var/backups/profiles-2026-01-31 | tail -1",
            ]),
        ToolCommand(
            "dump", "DIR", "prints every profile of a data directory or backup as JSON lines",
            details:
                "Works without a server; changes nothing. Each line has the format of"
                + "\n`profilectl get --json`, and the name of the \"project\" before it. With "
                + "--project only"
                + "\nits profiles; PROFILES_PROJECT does not count. The order is always the same.",
            options: [
                Option("--events", nil, "with all retained events, oldest first, as \"events\""),
                Option("--ledger", nil, "with the consent ledger, oldest first, as \"consent\""),
                Option(
                    "--triggers", nil,
                    "then the triggers, each with its firings that are due or not acknowledged"),
            ],
            examples: [
                "profilectl dump /var/backups/profiles-2026-01-31 | jq -r .profile.custom_id",
                "profilectl dump ./data --events --ledger > base.jsonl",
            ]),
        ToolCommand(
            "completion", "bash|zsh|fish", "prints a completion script",
            examples: [
                "source <(profilectl completion bash)",
                "profilectl completion fish > ~/.config/fish/completions/profilectl.fish",
            ]),
        ToolCommand(
            "help", "[COMMAND]", "explains a command",
            options: [Option("--man", nil, "prints the manual page profilectl(1), for man -l -")],
            examples: ["profilectl help import", "profilectl help --man | man -l -"]),
    ]
}

extension ToolCommand {
    /// What the exit codes mean, in lines of a terminal.
    static let exitCodes = """
        Exit codes: 0 success; 1 rejected by the server, or a file cannot be read; 2 usage;
        3 no response: cannot connect, timed out, or not serving. Commands that work without a
        server: 3 damaged data, 4 a server has the directory open. 5: an import reached its end,
        some lines were rejected. 6: the output could not be written, such as to a full disk.
        7: a watch whose position is no longer kept, so that changes are missing.
        """

    /// `profilectl help`.
    package static var overview: String {
        var text =
            "profilectl: profiles from the command line\n\nUsage: profilectl [FLAGS] COMMAND "
            + "...\n\nCommands:\n"
        for command in self.all {
            text += "  \(TerminalText.padded(command.name, to: 13)) \(command.summary)\n"
        }
        text += "\nFlags of every command:\n" + self.list(self.globalOptions)
        text += """

            \(self.exitCodes)

            Getting started:
              profilectl track anna purchase amount=59.9 currency=EUR
              profilectl get anna

            `profilectl help COMMAND` has flags and examples.

            """
        return text
    }

    /// `profilectl help COMMAND`.
    package var help: String {
        var text = "profilectl \(self.name) \(self.arguments)\n  \(self.summary)\n"
        if !self.details.isEmpty { text += "\n\(self.details)\n" }
        if !self.options.isEmpty { text += "\nFlags:\n" + Self.list(self.options) }
        text += "\nFlags of every command:\n" + Self.list(Self.globalOptions)
        if !self.examples.isEmpty {
            text += "\nExamples:\n" + self.examples.map { "  \($0)\n" }.joined()
        }
        return text
    }

    private static func list(_ options: [Option]) -> String {
        options.map { option in
            let head = option.value.map { "\(option.name) \($0)" } ?? option.name
            let choices =
                option.choices.isEmpty ? "" : ": \(option.choices.joined(separator: ", "))"
            return "  \(TerminalText.padded(head, to: 24)) \(option.help)\(choices)\n"
        }.joined()
    }
}
