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
              --config FILE
                  File of "key = value" lines and # comments; unknown keys are errors. It may be
                  a symbolic link, a FIFO or /dev/stdin.
                  Environment \(ConfigurationFile.environmentName).
              --check-config
                  Check flags, environment and file, print the effective configuration, and exit
                  with 0 or 2. Of what they name only the operators' key file is read: no
                  directory, no lock, no port, no audit log is opened.
              --print-config
                  Print the configuration as a file, with the source of each value, and exit.
              --help, -h
                  Print this text and exit.
              --version
                  Print the versions of the program, its formats and its libraries, and exit.

            Exit codes:

            """
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
