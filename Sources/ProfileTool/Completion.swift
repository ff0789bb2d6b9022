/// Completion scripts, generated from the table of commands so that they are always up to date.
package enum Completion {
    package static func script(for shell: String) -> String? {
        switch shell {
        case "bash": self.bash
        case "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + self.bash
        case "fish": self.fish
        default: nil
        }
    }

    private static var commands: String { ToolCommand.all.map(\.name).joined(separator: " ") }

    private static func flags(_ options: [ToolCommand.Option]) -> String {
        options.map(\.name).joined(separator: " ")
    }

    /// Commands whose arguments name files or directories.
    private static let withPaths = ["import", "backup", "restore", "verify", "dump"]

    /// Flags whose values are paths.
    private static var pathFlags: [String] {
        Set(
            (ToolCommand.globalOptions + ToolCommand.all.flatMap(\.options)).filter {
                $0.value == "FILE"
            }.map(\.name)
        ).sorted()
    }

    /// The command is the first word without dashes; the values of a flag come from its choices.
    private static var bash: String {
        var choices = ""
        for option in Set(
            ToolCommand.all.flatMap(\.options).filter { !$0.choices.isEmpty }.map {
                "\($0.name)) words=\"\($0.choices.joined(separator: " "))\";;"
            }
        ).sorted() {
            choices += "        \(option)\n"
        }
        let cases = ToolCommand.all.map {
            let words = ($0.subcommands + ["\(self.flags($0.options))"]).joined(separator: " ")
            return "            \($0.name)) words=\"$words \(words)\";;\n"
        }.joined()
        let assignments = ToolCommand.all.filter { !$0.assignments.isEmpty }.map(self.assignments)
            .joined()
        return """
            _profilectl_paths() {
                local path
                # Line by line: names contain blanks. The option quotes them where it exists.
                compopt -o filenames 2> /dev/null || :
                while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -f -- "$1")
            }
            _profilectl() {
                local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} \
                command= word words=
                for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
                    case " \(self.commands) " in *" $word "*) command=$word; break;; esac
                done
                case $previous in
            \(choices)    esac
                case $previous in \(self.pathFlags.joined(separator: "|")))
                    _profilectl_paths "$current"; return;; esac
                if [ -z "$words" ]; then
                    case $command in \(self.withPaths.joined(separator: "|")))
                        case $current in -*) ;; *) _profilectl_paths "$current";; esac;; esac
                    words="\(self.flags(ToolCommand.globalOptions))"
                    case $command in
                        "") words="$words \(self.commands)";;
                        completion) words="bash zsh fish";;
                        help) words="\(self.commands)";;
            \(cases)        esac
                    case " ${COMP_WORDS[*]:1:$((COMP_CWORD-1))} " in
            \(assignments)        esac
                    # A value, of which nothing is known.
                    case "$previous$current" in *=*) words=;; esac
                fi
                while IFS= read -r word; do COMPREPLY+=("$word"); done \
                    < <(compgen -W "$words" -- "$current")
                # The value follows at once.
                case ${COMPREPLY[0]-} in *=) compopt -o nospace 2> /dev/null || :;; esac
            }
            complete -F _profilectl profilectl

            """
    }

    /// The case of one command's NAME=VALUE arguments, which follow a name.
    private static func assignments(_ command: ToolCommand) -> String {
        let patterns = command.assignees.map { #"*" \#(command.name) \#($0) "[!-]*" ""# }
        return """
                        \(patterns.joined(separator: "|")))
                            words="${words:+$words }\(command.assignments.joined(separator: " "))";;

            """
    }

    private static var fish: String {
        func quoted(_ text: String) -> String {
            "'"
                + text.split(separator: "'", omittingEmptySubsequences: false).joined(
                    separator: "\\'") + "'"
        }
        func line(_ option: ToolCommand.Option, _ condition: String) -> String {
            let value =
                option.value == nil
                ? ""
                : option.choices.isEmpty
                    ? (option.value == "FILE" ? " -r -F" : " -r")
                    : " -x -a \(quoted(option.choices.joined(separator: " ")))"
            return
                "complete -c profilectl \(condition)-l \(option.name.dropFirst(2)) -d "
                + "\(quoted(option.help))\(value)\n"
        }
        var text = "complete -c profilectl -f\n"
        for command in ToolCommand.all {
            text +=
                "complete -c profilectl -n __fish_use_subcommand -a \(command.name) -d "
                + "\(quoted(command.summary))\n"
            if !command.subcommands.isEmpty {
                text +=
                    "complete -c profilectl -n '__fish_seen_subcommand_from \(command.name)' -a "
                    + "'\(command.subcommands.joined(separator: " "))'\n"
            }
            if !command.assignments.isEmpty {
                text +=
                    "complete -c profilectl -n '__fish_seen_subcommand_from \(command.name); and "
                    + "__fish_seen_subcommand_from \(command.assignees.joined(separator: " "))' -a "
                    + "'\(command.assignments.joined(separator: " "))'\n"
            }
            for option in command.options {
                text += line(option, "-n '__fish_seen_subcommand_from \(command.name)' ")
            }
        }
        for option in ToolCommand.globalOptions { text += line(option, "") }
        text +=
            "complete -c profilectl -n '__fish_seen_subcommand_from "
            + "\(self.withPaths.joined(separator: " "))' -F\n"
        text +=
            "complete -c profilectl -n '__fish_seen_subcommand_from help' -a '\(self.commands)'\n"
        return text
    }
}
