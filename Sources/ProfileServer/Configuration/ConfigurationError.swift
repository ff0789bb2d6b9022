/// Why a configuration is rejected, with the source and the setting to correct.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where a value came from.
    package enum Source: Equatable, Sendable, CustomStringConvertible {
        case flag
        case environment
        /// A line of a file, 1-based; 0: the file as a whole.
        case file(path: String, line: Int)
        /// No source provides it: the default.
        case standard

        package var description: String {
            switch self {
            case .flag: "command line"
            case .environment: "environment"
            case .file(let path, 0): Self.plain(path)
            case .file(let path, let line): "\(Self.plain(path)):\(line)"
            case .standard: "default"
            }
        }

        /// The path with everything escaped that could end the line it is printed in.
        private static func plain(_ path: String) -> String {
            String(
                JSONText.quoted(MaskedText.of(path), bytesMax: Configuration.pathBytesMax)
                    .dropFirst().dropLast())
        }
    }

    package enum Problem: Equatable, Sendable {
        /// There is no such setting, or the argument is not a flag.
        case unknown
        /// A flag without its value.
        case missingValue
        /// A value for a flag that takes no value.
        case unexpectedValue
        /// A value outside the allowed range.
        case notAllowed
        /// Given twice by the same source, so that the intended value is ambiguous.
        case repeated
        /// A line that is not `key = value`.
        case malformedLine
        /// The file cannot be read, is too large or is not UTF-8.
        case unreadableFile
        /// An address that others reach, which nothing protects.
        case notLoopback
    }

    /// Longest part of a value that is shown, in UTF-8 bytes.
    private static let foundBytesMax = 128

    package let source: Source
    /// Its name in the table, or the text found instead of one.
    package let setting: String
    package let problem: Problem
    /// The text that was found.
    package let found: String
    /// The values that are allowed.
    package let allowed: String

    /// One line: source, setting, the value found, the values allowed. Control characters are
    /// escaped.
    package var description: String {
        let found = JSONText.quoted(MaskedText.of(self.found), bytesMax: Self.foundBytesMax)
        return
            "\(self.source): \(self.shownName): \(self.summary) \(found); allowed: \(self.allowed)"
    }

    private var shownName: String {
        let name = JSONText.quoted(MaskedText.of(self.setting), bytesMax: Self.foundBytesMax)
        let plain = String(name.dropFirst().dropLast())
        guard self.problem != .unknown else { return plain }
        return switch self.source {
        case .flag: "--\(plain)"
        case .environment: Setting.environmentName(of: plain)
        case .file, .standard: plain
        }
    }

    private var summary: String {
        switch self.problem {
        case .unknown: "unknown setting, found"
        case .missingValue: "value missing, found"
        case .unexpectedValue: "takes no value, found"
        case .notAllowed: "found"
        case .repeated: "given twice, found"
        case .malformedLine: "malformed line, found"
        case .unreadableFile: "cannot be read, found"
        case .notLoopback: "not on loopback, found"
        }
    }
}
