import ManualPages

// The manual pages, from the table of settings and from that of flags.

extension Setting {
    /// Defaults that differ between these two machines depend on the machine.
    private static let smallMachine = Configuration.defaults(cores: 1, memoryBytes: 1 << 30)
    private static let largeMachine = Configuration.defaults(cores: 2, memoryBytes: 2 << 30)

    /// The manual page profiled(8).
    package static var manual: String {
        var page = ManualPage(
            "profiled", section: 8, version: BuildVersion.program,
            summary: "gRPC service that unifies what is known about a person")
        page.section("SYNOPSIS")
        page.paragraph("profiled [FLAG ...]")
        page.section("DESCRIPTION")
        page.paragraph(
            """
            Serves profiles over gRPC from a log on disk. Each setting comes from its flag, the
            environment, the file given by --config, or its default, in this order of precedence.
            """)
        page.section("SETTINGS")
        for setting in Self.all {
            page.item(
                "\(setting.flag) \(setting.valueName)",
                setting.manualLines + [
                    "Environment \(setting.environmentName), file key \(setting.name)."
                ])
        }
        page.section("FLAGS")
        for flag in ProcessFlag.all { page.item(flag.usage, [flag.lines.joined(separator: "\n")]) }
        page.section("SIGNALS")
        page.item(
            "SIGTERM, SIGINT",
            ["Open calls end within --drain-seconds, then the process; a second one ends at once."])
        page.item(
            "SIGHUP",
            [
                """
                The operators' keys, the files of TLS and the table of certificates are read \
                again, and the audit log and the access log are opened again.
                """
            ])
        page.section("ENVIRONMENT")
        page.item(
            OperatorKeyFile.variable,
            ["Keys of operators, one a line, instead of --operator-key-file."])
        page.item(
            "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
            ["As sd_notify(3) and sd_watchdog_enabled(3) describe them, for Type=notify units."])
        page.section("EXIT STATUS")
        for code in ExitCode.allCases { page.item("\(code.rawValue)", [code.summary]) }
        page.section("SEE ALSO")
        page.paragraph("profiled.conf(5), profilectl(1)")
        return page.text
    }

    /// The manual page profiled.conf(5).
    package static var fileManual: String {
        var page = ManualPage(
            "profiled.conf", section: 5, version: BuildVersion.program,
            summary: "configuration file of profiled")
        page.section("DESCRIPTION")
        page.paragraph(
            """
            The file given to profiled(8) by --config has lines of the form "key = value", blank
            lines, and lines that begin with #. A # inside a value belongs to the value. Unknown
            keys, a key given twice and values that are not allowed are errors: the server does not
            start then, and names file, line, key and the allowed values. The text is UTF-8 of at
            most \(Configuration.fileBytesMax) bytes. Environment and flags take precedence.
            """)
        page.paragraph("To check a changed file before a restart, as the user of the service:")
        page.verbatim(
            "runuser -u profiles -- profiled --config /etc/profiles/profiled.conf --check-config")
        page.section("KEYS")
        for setting in Self.all { page.item(setting.name, setting.manualLines) }
        page.section("SEE ALSO")
        page.paragraph("profiled(8)")
        return page.text
    }

    /// What it does, its default and its allowed values.
    private var manualLines: [String] {
        let value = self.read(Self.smallMachine)
        let isFixed = value == self.read(Self.largeMachine)
        return [
            self.summary,
            (isFixed ? "Default \(value)" : "The default depends on the machine")
                + "; unit: \(self.unit). Allowed: \(self.allowed).",
        ]
    }
}
