import IOCore
import IOLinux

/// The lines of a `--config` file: `key = value`, blank lines, and comments that begin with `#`.
///
/// A `#` inside a value belongs to the value, since paths may contain one. Keys are the flags
/// without their dashes.
struct ConfigurationFile {
    struct Entry: Equatable {
        let value: String
        /// 1-based.
        let line: Int
    }

    static let settingName = "config"
    static let environmentName = Setting.environmentName(of: Self.settingName)

    /// By key; every key is a setting's name.
    private(set) var entries: [String: Entry] = [:]

    init(path: String, readFile: Configuration.FileReader) throws(ConfigurationError) {
        let text = try Self.read(path, readFile)
        var number = 0
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        {
            number += 1
            try self.take(Self.trim(Substring(line)), at: .file(path: path, line: number), number)
        }
    }

    private mutating func take(
        _ line: Substring, at source: ConfigurationError.Source, _ number: Int
    ) throws(ConfigurationError) {
        guard let first = line.first, first != "#" else { return }
        guard let equals = line.firstIndex(of: "=") else {
            throw ConfigurationError(
                source: source, setting: Self.settingName, problem: .malformedLine,
                found: String(line), allowed: "key = value, # comment, or a blank line")
        }
        let key = String(Self.trim(line[..<equals]))
        let value = String(Self.trim(line[line.index(after: equals)...]))
        guard Setting.all.contains(where: { $0.name == key }) else {
            throw ConfigurationError(
                source: source, setting: key, problem: .unknown, found: value,
                allowed: Setting.all.map(\.name).joined(separator: ", "))
        }
        guard self.entries[key] == nil else {
            throw ConfigurationError(
                source: source, setting: key, problem: .repeated, found: value,
                allowed: "each key once")
        }
        self.entries[key] = Entry(value: value, line: number)
    }

    private static func read(
        _ path: String, _ readFile: Configuration.FileReader
    ) throws(ConfigurationError) -> String {
        func unreadable(_ found: String) -> ConfigurationError {
            ConfigurationError(
                source: .file(path: path, line: 0), setting: Self.settingName,
                problem: .unreadableFile, found: found,
                allowed: "a readable UTF-8 file of at most \(Configuration.fileBytesMax) bytes")
        }
        var bytes: [UInt8]
        do {
            bytes = try readFile(path, Configuration.fileBytesMax + 1)
        } catch {
            throw unreadable(error.explanation)
        }
        guard bytes.count <= Configuration.fileBytesMax else { throw unreadable("a larger file") }
        if Self.isUTF16(bytes) { throw unreadable("UTF-16 text; save the file as UTF-8") }
        if bytes.starts(with: Self.byteOrderMark) { bytes.removeFirst(Self.byteOrderMark.count) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw unreadable("invalid UTF-8")
        }
        return text
    }

    /// U+FEFF, which editors of Windows put before UTF-8.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// Whether the bytes are UTF-16: by its byte order mark, or by a NUL in one of the first two
    /// characters, which no line of this file has.
    private static func isUTF16(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
            || bytes.prefix(2).contains(0)
    }

    /// Removes blanks, tabs and the carriage returns of a Windows file from both ends.
    private static func trim(_ text: Substring) -> Substring {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        var bytes = text.utf8
        while let first = bytes.first, isBlank(first) { bytes.removeFirst() }
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return Substring(bytes)
    }
}
