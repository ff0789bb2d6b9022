import ManualPages
import ProfileClient

// The manual page, from the table of commands.

extension ToolCommand {
    /// Variables that replace absent flags.
    private static let variables = [
        ("PROFILES_ADDRESS", "the address of the service"),
        ("PROFILES_PROJECT", "the project"),
        ("PROFILES_KEY_FILE", "the file whose first key is the one to call with"),
        ("PROFILES_KEY", "the key itself"),
        ("NO_COLOR", "if it is not empty, no escape codes are written"),
    ]

    /// The manual page profilectl(1).
    package static var manual: String {
        var page = ManualPage(
            "profilectl", section: 1, version: ClientVersion.program,
            summary: "profiles from the command line")
        page.section("SYNOPSIS")
        page.paragraph("profilectl [FLAGS] COMMAND ...")
        page.section("DESCRIPTION")
        page.paragraph(
            """
            Reads and writes profiles of a running profiled(8), operates it, and looks at data
            directories and backups without one. Flags may be anywhere; -- ends them.
            """)
        page.section("FLAGS OF EVERY COMMAND")
        for option in self.globalOptions { option.add(to: &page) }
        page.section("COMMANDS")
        for command in self.all {
            page.subsection("profilectl \(command.name) \(command.arguments)")
            page.paragraph(command.summary)
            if !command.details.isEmpty { page.verbatim(command.details) }
            for option in command.options { option.add(to: &page) }
            if !command.examples.isEmpty {
                page.paragraph("Examples:")
                page.verbatim(command.examples.map { "  \($0)" }.joined(separator: "\n"))
            }
        }
        page.section("EXIT STATUS")
        page.paragraph(self.exitCodes)
        page.section("ENVIRONMENT")
        for (name, text) in self.variables { page.item(name, [text]) }
        page.section("SEE ALSO")
        page.paragraph("profiled(8)")
        return page.text
    }
}

extension ToolCommand.Option {
    fileprivate func add(to page: inout ManualPage) {
        let choices =
            self.choices.isEmpty ? "" : ": \(self.choices.joined(separator: ", "))"
        page.item(self.value.map { "\(self.name) \($0)" } ?? self.name, [self.help + choices])
    }
}
