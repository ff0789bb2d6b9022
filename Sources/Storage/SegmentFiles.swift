import Bytes
import IOCore

/// Names of the log's files, and the steps by which a segment comes into being.
///
/// A segment is written under a temporary name, header and all, synced, renamed, and its directory
/// synced. So a file with a segment's name always has a whole header, and a crash on the way leaves
/// only a temporary file, which recovery removes (L3, L13).
struct SegmentFiles: Sendable {
    static let suffix = ".log"
    static let temporarySuffix = ".tmp"
    static let tornPrefix = "torn-"

    let fileSystem: any FileSystem
    let directory: String

    func path(_ name: String) -> String { "\(self.directory)/\(name)" }

    /// 16 hexadecimal digits and the suffix, so that names sort as numbers.
    static func name(of number: UInt64) -> String { Self.digits(of: number) + Self.suffix }

    /// 16 lower-case hexadecimal digits.
    static func digits(of number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The name under which the bytes of a torn tail are kept.
    static func tornName(segment: UInt64, offset: Int) -> String {
        "\(Self.tornPrefix)\(Self.digits(of: segment))-\(offset)"
    }

    /// The segment of a file with a torn tail; `nil` if it is no such name.
    static func tornSegment(of name: String) -> UInt64? {
        guard name.hasPrefix(Self.tornPrefix) else { return nil }
        let rest = name.dropFirst(Self.tornPrefix.count)
        guard rest.count > 17, rest.dropFirst(16).first == "-",
            let offset = Int(rest.dropFirst(17)),
            let segment = UInt64(rest.prefix(16), radix: 16),
            Self.tornName(segment: segment, offset: offset) == name
        else { return nil }
        return segment
    }

    /// The number in a segment's name; `nil` if it is no such name.
    static func number(of name: String) -> UInt64? {
        guard name.hasSuffix(Self.suffix), name.utf8.count == 16 + Self.suffix.utf8.count else {
            return nil
        }
        guard let number = UInt64(name.dropLast(Self.suffix.count), radix: 16),
            LogNumber.allowed.contains(number), Self.name(of: number) == name
        else { return nil }
        return number
    }

    /// Gives a prepared file its header, durably; it has only its temporary name yet, so a failure
    /// changes nothing for the log.
    func finish(_ file: any File, header: SegmentHeader) throws(IOError) {
        var bytes = ByteBuffer(capacity: SegmentHeader.bytes)
        header.write(into: &bytes)
        try file.write(bytes.bytes, at: 0)
        try file.sync()
    }

    /// Gives a finished file its name, durably.
    ///
    /// - Throws: Then the name may be there or not, and after a restart the segment may rule over
    ///   the frames of the one before: nothing more may be written to either.
    func publish(named temporary: String, as number: UInt64) throws(IOError) {
        try self.name(temporary, as: number)
        try self.syncNames()
    }

    /// The first half of `publish`.
    func name(_ temporary: String, as number: UInt64) throws(IOError) {
        try self.fileSystem.rename(self.path(temporary), to: self.path(Self.name(of: number)))
    }

    /// The second half of `publish`.
    func syncNames() throws(IOError) {
        try self.fileSystem.syncDirectory(self.directory)
    }
}
