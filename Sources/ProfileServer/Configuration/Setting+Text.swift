// The two texts made from the table of settings.

extension Setting {
    /// The text of `--help`.
    ///
    /// - Parameters: Of this machine, for the defaults that depend on it.
    package static func help(cores: Int, memoryBytes: Int = 0) -> String {
        let defaults = Configuration.defaults(cores: cores, memoryBytes: memoryBytes)
        var text = """
            Usage: profiled [FLAG ...]

            Serves profiles over gRPC from a log on disk.
            A setting is taken from its flag, else from the environment, else from the file of
            --config, else from its default.

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
              --config FILE
                  File of "key = value" lines and # comments; unknown keys are refused.
                  Environment \(ConfigurationFile.environmentName).
              --check-config
                  Check flags, environment and file, print what would hold, and exit with 0 or 2.
                  Nothing is opened: no directory, no lock, no port.
              --print-config
                  Print the configuration as a file, with the source of each value, and exit.
              --help
                  Print this text and exit.
              --version
                  Print the versions of the program, its formats and its libraries, and exit.

            Exit codes:

            """
        for code in ExitCode.allCases { text += "  \(code.rawValue)  \(code.summary)\n" }
        return text
    }

    /// The first line of `--check-config`: a comment, so that what follows it is still a file.
    static let good = "# the configuration is good\n"

    /// The text of `--print-config`: a file that gives the same configuration, with each value's
    /// source above it. No setting holds a secret.
    ///
    /// - Parameter sources: In the order of the table; `nil`: the default.
    static func print(
        _ configuration: Configuration, sources: [ConfigurationError.Source?]
    ) -> String {
        var text = ""
        for (setting, source) in zip(Self.all, sources) {
            text += "# \(source ?? .standard)\n\(setting.name) = \(setting.read(configuration))\n"
        }
        return text
    }
}
