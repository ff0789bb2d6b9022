import Bytes
import ProfileService
import Profiles

/// Why a file of operators' keys is not accepted. No text of it has anything of a key but its id.
enum OperatorKeyError: Error, Equatable, CustomStringConvertible {
    case tooLarge
    /// There is no key in it.
    case empty
    case tooManyKeys
    /// A line, 1-based, that is neither a key, nor a comment, nor blank.
    case notAKey(line: Int)
    /// A line, 1-based, whose id stands in an earlier one.
    case repeated(line: Int)

    var description: String {
        switch self {
        case .tooLarge: "more than \(OperatorKeyFile.bytesMax) bytes"
        case .empty: "no key in it; `profilectl key new` makes one"
        case .tooManyKeys: "more than \(OperatorKeyFile.keysMax) keys"
        case .notAKey(let line):
            "line \(line) is neither a key (`profilectl key new` makes one), nor a # comment, "
                + "nor blank"
        case .repeated(let line): "line \(line) has the id of an earlier line"
        }
    }
}

/// The keys of operators as a file or a variable has them: one `pk_<id>_<secret>` a line, blank
/// lines, and comments that begin with `#`.
enum OperatorKeyFile {
    /// The environment variable with the same text, for containers.
    static let variable = "PROFILES_OPERATOR_KEY"
    /// Each login looks at all of them.
    static let keysMax = 100
    /// In bytes: as many keys take 6,400; the rest is for comments.
    static let bytesMax = 64 << 10

    private static let lineFeed = UInt8(ascii: "\n")
    /// U+FEFF, which editors of Windows put before UTF-8.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// Reads the text and overwrites it: only the hashes of the secrets are left.
    ///
    /// - Throws: The first error.
    /// - Complexity: O(bytes).
    static func takeKeys(from text: inout [UInt8]) throws(OperatorKeyError) -> [OperatorKey] {
        let result = text.withUnsafeMutableBytes { bytes in
            // SAFETY: the array owns the bytes for the call.
            defer { bytes.wipe() }
            return Result { () throws(OperatorKeyError) in
                try self.parse(UnsafeRawBufferPointer(bytes))
            }
        }
        text = []
        return try result.get()
    }

    private static func parse(
        _ text: UnsafeRawBufferPointer
    ) throws(OperatorKeyError) -> [OperatorKey] {
        guard text.count <= self.bytesMax else { throw .tooLarge }
        var keys: [OperatorKey] = []
        var number = 0
        let start = text.starts(with: self.byteOrderMark) ? self.byteOrderMark.count : 0
        for slice in text[start...].split(
            separator: self.lineFeed, omittingEmptySubsequences: false)
        {
            number += 1
            let line = self.trim(UnsafeRawBufferPointer(rebasing: slice))
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            guard let key = self.key(line) else { throw .notAKey(line: number) }
            guard !keys.contains(where: { $0.name == key.name }) else {
                throw .repeated(line: number)
            }
            guard keys.count < self.keysMax else { throw .tooManyKeys }
            keys.append(key)
        }
        guard !keys.isEmpty else { throw .empty }
        return keys
    }

    private static func key(_ line: UnsafeRawBufferPointer) -> OperatorKey? {
        withUnsafeTemporaryAllocation(byteCount: KeySecret.bytes, alignment: 8) { secret in
            // SAFETY: the memory is this call's; it is wiped before it is given back.
            defer { secret.wipe() }
            guard let name = KeyText.read(line, secret: secret) else { return nil }
            return OperatorKey(
                name: name, hash: OperatorKey.hash(ofSecret: UnsafeRawBufferPointer(secret)))
        }
    }

    /// Without blanks, tabs and the carriage return of a Windows file at both ends.
    private static func trim(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        var line = line[...]
        while let first = line.first, isBlank(first) { line.removeFirst() }
        while let last = line.last, isBlank(last) { line.removeLast() }
        return UnsafeRawBufferPointer(rebasing: line)
    }
}
