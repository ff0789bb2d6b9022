/// Why a configuration is refused, in words that lead to the place to change.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where a value came from.
    package enum Source: Equatable, Sendable, CustomStringConvertible {
        case flag
        case environment
        /// A line of a file, 1-based; 0: the file as a whole.
        case file(path: String, line: Int)
        /// Nobody gave it: the default.
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

        /// The path without what could end the line it is printed in.
        private static func plain(_ path: String) -> String {
            String(
                JSONText.quoted(path, bytesMax: Configuration.pathBytesMax).dropFirst().dropLast())
        }
    }

    package enum Problem: Equatable, Sendable {
        /// No such setting, or an argument that is none.
        case unknown
        /// A flag without its value.
        case missingValue
        /// A value for a flag that takes none.
        case unexpectedValue
        /// A value outside what is allowed.
        case notAllowed
        /// Given twice by the same source: nobody knows which was meant.
        case repeated
        /// A line that is no `key = value`.
        case malformedLine
        /// The file cannot be read, is too large or is no UTF-8.
        case unreadableFile
        /// An address that would need keys.
        case needsKeys
    }

    /// Longest part of a value that is shown, in UTF-8 bytes.
    private static let foundBytesMax = 128

    package let source: Source
    /// Its name in the table, or what stood in its place.
    package let setting: String
    package let problem: Problem
    /// What stood there.
    package let found: String
    /// What may stand there.
    package let allowed: String

    /// One line: where, which setting, what was found, what is allowed. Control characters are
    /// escaped.
    package var description: String {
        let found = JSONText.quoted(self.found, bytesMax: Self.foundBytesMax)
        return
            "\(self.source): \(self.shownName): \(self.summary) \(found); allowed: \(self.allowed)"
    }

    private var shownName: String {
        let name = JSONText.quoted(self.setting, bytesMax: Self.foundBytesMax)
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
        case .needsKeys: "not on loopback, found"
        }
    }
}
