// The texts that are generated from the table of settings.

extension Setting {
    /// The text of `--help`.
    ///
    /// - Parameters: Of this machine, for the defaults that depend on it.
    package static func help(cores: Int, memoryBytes: Int = 0) -> String {
        let defaults = Configuration.defaults(cores: cores, memoryBytes: memoryBytes)
        var text = """
            Usage: profiled [FLAG ...]

            Serves profiles over gRPC from a log on disk.
            Each setting comes from its flag, the environment, the file given by --config, or
            its default, in this order of precedence.

            Settings:

            """
        for setting in Self.all {
            text += """
                  \(setting.flag) \(setting.valueName)
                      \(setting.summary)
                      Default \(setting.read(defaults)); unit: \(setting.unit).
                      Allowed: \(setting.allowed).
                      Environment \(setting.environmentName), file key \(setting.name).

                """
        }
        text += """

            Flags:

            """
        for flag in ProcessFlag.all {
            text += "  \(flag.usage)\n" + flag.lines.map { "      \($0)\n" }.joined()
        }
        text += "\nExit codes:\n"
        for code in ExitCode.allCases { text += "  \(code.rawValue)  \(code.summary)\n" }
        return text
    }

    /// The first line of `--check-config`: a comment, so that the output is still a valid file.
    static let valid = "# the configuration is valid\n"

    /// The text of `--print-config`: a file that produces the same configuration, with each value's
    /// source above it. No setting is a secret; of keys in the environment it says that they are
    /// there.
    ///
    /// - Parameter sources: In the order of the table; `nil`: the default.
    static func print(
        _ configuration: Configuration, sources: [ConfigurationError.Source?]
    ) -> String {
        var text = ""
        for (setting, source) in zip(Self.all, sources) {
            text += "# \(source ?? .standard)\n\(setting.name) = \(setting.read(configuration))\n"
        }
        if configuration.hasOperatorKeyVariable {
            text += "# environment: \(OperatorKeyFile.variable) is set; its keys are not shown\n"
        }
        return text
    }
}
