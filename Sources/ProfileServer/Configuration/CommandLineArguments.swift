/// The flags of a command line, not yet interpreted: `--name VALUE` or `--name=VALUE`.
struct CommandLineArguments {
    enum Action: Equatable {
        case serve
        case check
        /// Takes precedence over `check`: what is printed has been checked.
        case print
    }

    /// By the setting's name.
    private(set) var values: [String: String] = [:]
    private(set) var action = Action.serve

    init(_ arguments: [String]) throws(ConfigurationError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--"), argument.count > 2 else { throw Self.unknown(argument) }
            let parts = argument.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let attached = parts.count == 2 ? String(parts[1]) : nil
            switch name {
            case "check-config", "print-config":
                try self.act(name, attached)
            case _ where Self.takesValue(name):
                // An argument that looks like a flag means that the value was forgotten.
                let isFlag = rest.first?.hasPrefix("--") ?? true
                guard
                    let value = attached ?? (isFlag ? Self.bareValue(name) : rest.popFirst())
                else {
                    throw ConfigurationError(
                        source: .flag, setting: name, problem: .missingValue,
                        found: rest.first ?? "", allowed: "--\(name) VALUE or --\(name)=VALUE")
                }
                guard self.values.updateValue(value, forKey: name) == nil else {
                    throw ConfigurationError(
                        source: .flag, setting: name, problem: .repeated, found: value,
                        allowed: "each flag once")
                }
            default:
                throw Self.unknown(argument)
            }
        }
    }

    private mutating func act(_ name: String, _ attached: String?) throws(ConfigurationError) {
        if let attached {
            throw ConfigurationError(
                source: .flag, setting: name, problem: .unexpectedValue, found: attached,
                allowed: "--\(name) alone")
        }
        if self.action != .print { self.action = name == "print-config" ? .print : .check }
    }

    /// What a flag without a value means; `nil`: nothing.
    private static func bareValue(_ name: String) -> String? {
        Setting.all.first { $0.name == name }?.valueOfBareFlag
    }

    private static func takesValue(_ name: String) -> Bool {
        name == ConfigurationFile.settingName || Setting.all.contains { $0.name == name }
    }

    private static func unknown(_ argument: String) -> ConfigurationError {
        ConfigurationError(
            source: .flag, setting: argument, problem: .unknown, found: argument,
            allowed: "the flags of --help")
    }
}
