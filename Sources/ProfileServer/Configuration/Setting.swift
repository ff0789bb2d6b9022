// The table of settings. Parsing, --help and --print-config all use it, so that none of them can
// omit a setting.

/// One setting: its name, its allowed values, and how it is read from and written to a
/// configuration.
package struct Setting: Sendable {
    /// The flag without its dashes; also the key in a file.
    package let name: String
    /// Stands for the value in the help: `DIR`.
    package let valueName: String
    /// What it does; one or two sentences.
    package let summary: String
    /// Its unit of measurement, or its kind.
    package let unit: String
    /// The allowed values, as text for people.
    package let allowed: String
    /// What the flag alone means; `nil`: it needs a value.
    package var valueOfBareFlag: String?
    /// Stores a value; `false` if it is not allowed.
    let write: @Sendable (_ value: String, inout Configuration) -> Bool
    /// The value in the form that `write` accepts.
    let read: @Sendable (Configuration) -> String

    package var flag: String { "--\(self.name)" }
    package var environmentName: String { Self.environmentName(of: self.name) }

    /// `data-dir` is `PROFILES_DATA_DIR` in the environment.
    static func environmentName(of name: String) -> String {
        "PROFILES_" + name.uppercased().replacing("-", with: "_")
    }

    static let pathAllowed =
        "a path of 1...\(Configuration.pathBytesMax) bytes without control characters"
        + " and without blanks at its ends"

    /// All of them, in the order of help and print.
    package static let all = Self.ofService + Self.observability

    private static let ofService: [Setting] = [
        Setting(
            name: "data-dir", valueName: "DIR",
            summary: "Directory of the log and the snapshots; one process holds it at a time.",
            unit: "path", allowed: Self.pathAllowed,
            write: { value, configuration in
                guard Self.isPath(value) else { return false }
                configuration.dataDirectory = value
                return true
            },
            read: { $0.dataDirectory }),
        Setting(
            name: "listen", valueName: "ADDRESS:PORT",
            summary:
                "Where gRPC is served. Beyond loopback it needs operators' keys, and"
                + " --tls-certificate or --insecure-listen.",
            unit: "endpoint", allowed: Endpoint.allowed,
            write: { Self.store(Endpoint($0), in: \.listen, of: &$1) },
            read: { $0.listen.description }),
        Setting(
            name: "insecure-listen", valueName: "[on|off]",
            summary:
                "Whether gRPC may be served beyond loopback without TLS: keys and data of people"
                + " cross the network unencrypted. The flag alone means on.",
            unit: "switch", allowed: "on, off", valueOfBareFlag: "on",
            write: { Self.store(Self.isOn($0), in: \.insecureListen, of: &$1) },
            read: { $0.insecureListen ? "on" : "off" }),
        Setting(
            name: "operator-key-file", valueName: "FILE",
            summary:
                "Keys of operators, one a line, as `profilectl key new` makes them; read again at"
                + " SIGHUP. With it every call but health and reflection needs a key. Only its"
                + " owner may have access to the file. Environment"
                + " \(OperatorKeyFile.variable) has the keys themselves instead.",
            unit: "path", allowed: "none, or \(Self.pathAllowed)",
            write: { value, configuration in
                // A key that is given in place of its file would be printed as a path.
                guard Self.isPath(value), !MaskedText.hasKey(value) else { return false }
                configuration.operatorKeyFile = value == "none" ? nil : value
                return true
            },
            read: { $0.operatorKeyFile ?? "none" }),
        .file(
            "audit-log",
            summary:
                "Gets a JSON line for each refused access, each write of an operator, and each call"
                + " that changes projects or keys, erases or exports; opened again at SIGHUP.",
            in: \.auditLog),
        .file(
            "tls-certificate",
            summary:
                "PEM file of the server's certificate and those that lead to its root. With it"
                + " gRPC is served by TLS 1.2 and later only; read again at SIGHUP, as all files"
                + " of tls-... are.",
            in: \.tls.certificateFile),
        .file(
            "tls-key",
            summary:
                "PEM file of its private key, without a passphrase, for its owner alone.",
            in: \.tls.keyFile),
        .file(
            "tls-client-ca",
            summary:
                "PEM file of authorities. With it every client must show a certificate of one of"
                + " them.",
            in: \.tls.clientAuthorityFile),
        .number(
            "tls-verify-depth", of: "certificates",
            summary: "Most certificates between that of a client and its authority.",
            in: \.tls.verifyDepth, TLSSettings.verifyDepthRange),
        .file(
            "tls-client-keys",
            summary:
                "Table of names of clients' certificates and the ids of keys that they stand for:"
                + " such a client needs to send no key.",
            in: \.tls.clientKeyFile),
        Setting(
            name: "admin-tls", valueName: "off|on|mutual",
            summary:
                "Whether --admin-listen is served by TLS, with the certificate of gRPC; mutual: to"
                + " clients with certificates of tls-client-ca only.",
            unit: "switch",
            allowed: TLSSettings.Admin.allCases.map(\.rawValue).joined(separator: ", "),
            write: { Self.store(TLSSettings.Admin(rawValue: $0), in: \.tls.admin, of: &$1) },
            read: { $0.tls.admin.rawValue }),
        Setting(
            name: "admin-listen", valueName: "ADDRESS:PORT",
            summary: "Where probes, metrics and version are served over HTTP/1.1, without keys.",
            unit: "endpoint", allowed: Endpoint.allowed,
            write: { Self.store(Endpoint($0), in: \.adminListen, of: &$1) },
            read: { $0.adminListen.description }),
        Setting(
            name: "console-listen", valueName: "ADDRESS:PORT",
            summary:
                "Where the profile page is served to browsers over HTTP/1.1: people, events and"
                + " consent, read-only. Where calls need keys, a key with the scope READ signs in.",
            unit: "endpoint", allowed: "none, or a loopback address: \(Endpoint.allowed)",
            write: { value, configuration in
                if value == "none" {
                    configuration.consoleListen = nil
                    return true
                }
                guard let endpoint = Endpoint(value), endpoint.isLoopback else { return false }
                configuration.consoleListen = endpoint
                return true
            },
            read: { $0.consoleListen?.description ?? "none" }),
        .number(
            "loops", of: "threads",
            summary:
                "Number of threads that serve connections; by default one per core that the process"
                + " may use.",
            in: \.loops, Configuration.loopsRange),
        .number(
            "connections-per-address", of: "connections",
            summary:
                "Most open connections of one IPv4 address, or of one /64 of IPv6; raise it behind"
                + " a proxy that makes one for each of its clients.",
            in: \.connectionsPerAddress, Configuration.connectionsPerAddressRange),
        .size(
            "segment-bytes",
            summary: "Size of a log segment; applies to segments created from now on.",
            in: \.segmentBytes, Configuration.segmentBytesRange),
        .size(
            "memory-limit",
            summary:
                "Memory of the store above which writes are rejected; by default three quarters of"
                + " what the process may use. Reads, opt-outs, log-outs and erasures continue.",
            in: \.memoryLimit, Configuration.memoryLimitRange, allowsNone: true),
        .size(
            "snapshot-log-bytes",
            summary:
                "Bytes of log after which the next snapshot is made; about as much is replayed at a"
                + " start.",
            in: \.snapshotLogBytes, Configuration.snapshotLogBytesRange),
        .number(
            "snapshot-seconds", of: "seconds",
            summary:
                "Longest time from a record to a snapshot that covers it. Erased data is removed"
                + " from the disk within two such periods.",
            in: \.snapshotSeconds, Configuration.snapshotSecondsRange),
        .size(
            "feed-bytes",
            summary:
                "Size of the change feed on disk; the oldest changes go beyond it, and all go after"
                + " 23 hours.",
            in: \.feedBytes, Configuration.feedBytesRange),
        .number(
            "watchers-max", of: "watchers",
            summary:
                "Open Watch calls; one more is rejected, and so is one that would give one address"
                + " more than half of them. Each costs up to 100 KiB.",
            in: \.watchersMax, Configuration.watchersMaxRange),
        Setting(
            name: "accept-log-loss", valueName: "LSN",
            summary:
                "Serve a log that has lost its end, if it ends at just this lsn. A start that finds"
                + " such a loss is rejected with exit code 3 and names the lsn.",
            unit: "lsn", allowed: "none, or an lsn",
            write: { value, configuration in
                configuration.acceptLogLoss = UInt64(value)
                return value == configuration.acceptLogLoss.map(String.init) ?? "none"
            },
            read: { $0.acceptLogLoss.map(String.init) ?? "none" }),
        .number(
            "projects-max", of: "projects",
            summary:
                "Most projects of a data directory; applies to a new one only, as the limits of an"
                + " existing one are part of its log.",
            in: \.projectsMax, Configuration.projectsMaxRange),
        .number(
            "project-delete-seconds", of: "seconds",
            summary:
                "Time from the deletion of a project until its data is removed; until then it can"
                + " be undone.",
            in: \.projectDeleteSeconds, Configuration.projectDeleteSecondsRange),
        .number(
            "drain-seconds", of: "seconds",
            summary: "Longest wait for open calls to end after SIGTERM.",
            in: \.drainSeconds, Configuration.drainSecondsRange),
        Setting(
            name: "reflection", valueName: "on|off",
            summary:
                "Whether server reflection lets clients query this server's messages and RPCs.",
            unit: "switch", allowed: "on, off",
            write: { Self.store(Self.isOn($0), in: \.reflection, of: &$1) },
            read: { $0.reflection ? "on" : "off" }),
        Setting(
            name: "log-level", valueName: "LEVEL",
            summary: "Lowest level that is logged to standard error.",
            unit: "level", allowed: LogLevel.allCases.map(\.rawValue).joined(separator: ", "),
            write: { Self.store(LogLevel(rawValue: $0), in: \.logLevel, of: &$1) },
            read: { $0.logLevel.rawValue }),
    ]

    func apply(
        _ value: String, from source: ConfigurationError.Source,
        to configuration: inout Configuration
    ) throws(ConfigurationError) {
        guard self.write(value, &configuration) else {
            throw ConfigurationError(
                source: source, setting: self.name, problem: .notAllowed, found: value,
                allowed: self.allowed)
        }
    }

    /// Whether `text` can be a path and fits on one line of a configuration file.
    static func isPath(_ text: String) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, let last = bytes.last,
            bytes.count <= Configuration.pathBytesMax
        else { return false }
        return first != 0x20 && last != 0x20 && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }

    /// A file, or none.
    ///
    /// - Parameter others: Values that are no path and have a meaning, with a comma behind each.
    static func file(
        _ name: String, summary: String,
        in path: WritableKeyPath<Configuration, String?> & Sendable, others: String = ""
    ) -> Setting {
        Setting(
            name: name, valueName: "FILE", summary: summary, unit: "path",
            allowed: "none, \(others)or \(Self.pathAllowed)",
            write: { value, configuration in
                guard Self.isPath(value) else { return false }
                configuration[keyPath: path] = value == "none" ? nil : value
                return true
            },
            read: { $0[keyPath: path] ?? "none" })
    }

    /// A whole number in a range.
    static func number(
        _ name: String, of unit: String, summary: String,
        in path: WritableKeyPath<Configuration, Int> & Sendable, _ range: ClosedRange<Int>
    ) -> Setting {
        Setting(
            name: name, valueName: "N", summary: summary, unit: unit,
            allowed: "\(range.lowerBound)...\(range.upperBound)",
            write: { value, configuration in
                let number = DecimalNumber.parse(value[...], max: range.upperBound).flatMap {
                    range.contains($0) ? $0 : nil
                }
                return Self.store(number, in: path, of: &configuration)
            },
            read: { "\($0[keyPath: path])" })
    }

    /// A number of bytes in a range; with `allowsNone`, 0 as well.
    private static func size(
        _ name: String, summary: String, in path: WritableKeyPath<Configuration, Int> & Sendable,
        _ range: ClosedRange<Int>,
        allowsNone: Bool = false
    ) -> Setting {
        Setting(
            name: name, valueName: "SIZE", summary: summary,
            unit: "bytes, or with a suffix KiB, MiB, GiB",
            allowed: (allowsNone ? "0 (none), or " : "") + ByteSize.format(range.lowerBound) + "..."
                + ByteSize.format(range.upperBound),
            write: { value, configuration in
                let bytes = ByteSize.parse(value).flatMap {
                    range.contains($0) || allowsNone && $0 == 0 ? $0 : nil
                }
                return Self.store(bytes, in: path, of: &configuration)
            },
            read: { ByteSize.format($0[keyPath: path]) })
    }

    static func store<Value>(
        _ value: Value?, in path: WritableKeyPath<Configuration, Value>,
        of configuration: inout Configuration
    ) -> Bool {
        guard let value else { return false }
        configuration[keyPath: path] = value
        return true
    }

    private static func isOn(_ text: String) -> Bool? {
        switch text {
        case "on": true
        case "off": false
        default: nil
        }
    }
}
