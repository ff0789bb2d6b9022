import IOCore

/// The directory of the feed and the names in it.
package struct FeedFiles: Sendable {
    /// Of the directory, in the data directory.
    package static let directoryName = "feed"
    static let suffix = ".feed"
    /// Of a segment that has no whole header yet; a start removes it.
    static let temporarySuffix = ".feed.tmp"
    /// `UInt64.max` has as many.
    private static let digits = 20

    let fileSystem: any FileSystem
    let directory: String

    /// - Parameter dataDirectory: Of the log.
    package init(_ fileSystem: any FileSystem, in dataDirectory: String) {
        self.fileSystem = fileSystem
        self.directory = "\(dataDirectory)/\(Self.directoryName)"
    }

    func path(_ name: String) -> String { "\(self.directory)/\(name)" }

    /// 20 decimal digits of the lsn at which it begins, so that names sort as lsns.
    static func stem(of lsn: UInt64) -> String {
        let digits = String(lsn)
        return String(repeating: "0", count: Self.digits - digits.utf8.count) + digits
    }

    static func name(of lsn: UInt64) -> String { Self.stem(of: lsn) + Self.suffix }

    static func temporaryName(of lsn: UInt64) -> String {
        Self.stem(of: lsn) + Self.temporarySuffix
    }

    /// The lsn in a segment's name; `nil` if it is no such name.
    static func lsn(of name: String) -> UInt64? {
        guard name.utf8.count == Self.digits + Self.suffix.utf8.count, name.hasSuffix(Self.suffix),
            let lsn = UInt64(name.dropLast(Self.suffix.count)), Self.name(of: lsn) == name
        else { return nil }
        return lsn
    }

    /// Whether a file is one that a crash left before it had its name.
    static func isTemporary(_ name: String) -> Bool {
        name.utf8.count == Self.digits + Self.temporarySuffix.utf8.count
            && name.hasSuffix(Self.temporarySuffix)
            && UInt64(name.dropLast(Self.temporarySuffix.count)) != nil
    }

    /// Names in the directory; none where there is no directory.
    ///
    /// - Throws: Also if a link has the name of the directory: whoever made it would choose where
    ///   people's data ends up.
    func list() throws(IOError) -> [String] {
        do throws(IOError) {
            try self.fileSystem.syncDirectory(self.directory)
            return try self.fileSystem.list(self.directory)
        } catch {
            guard error.kind == .notFound else { throw error }
            return []
        }
    }

    /// Makes the directory where it is missing.
    func makeDirectory() throws(IOError) {
        try self.fileSystem.createDirectory(self.directory)
        try self.fileSystem.syncDirectory(self.directory)
    }

    /// Removes a file; nothing if it is gone.
    func remove(_ name: String) throws(IOError) {
        do throws(IOError) { try self.fileSystem.remove(self.path(name)) } catch {
            guard error.kind == .notFound else { throw error }
        }
    }
}
