import Bytes
import Profiles

/// Which key a verified certificate stands for, by one of its names.
///
/// A name is `URI:`, `DNS:` or `EMAIL:` with a subject alternative name, or `SUBJECT:` with the
/// subject in the form of RFC 2253.
package struct CertificateKeys: Sendable {
    /// Most names, each of which takes about 100 bytes.
    package static let namesMax = 10_000

    private struct Entry {
        var name: SHA256Digest
        var key: KeyName
    }

    /// By the first word of the name's digest. Two names with the same one do not happen.
    private var entries: [UInt64: Entry] = [:]

    package init() {}

    package var count: Int { self.entries.count }

    /// Lets certificates with a name stand for a key.
    ///
    /// - Returns: False if there is such a name already.
    package mutating func add(_ name: String, key: KeyName) -> Bool {
        let digest = Self.digest(of: name)
        guard self.entries[digest.words.0] == nil else { return false }
        self.entries[digest.words.0] = Entry(name: digest, key: key)
        return true
    }

    /// The key of the first name that is in the table, and the digest of that name.
    ///
    /// - Complexity: O(names).
    func find(_ names: [String]) -> (certificate: SHA256Digest, key: KeyName)? {
        for name in names {
            let digest = Self.digest(of: name)
            if let key = self.key(of: digest) { return (digest, key) }
        }
        return nil
    }

    /// The key of a name, by its digest.
    func key(of name: SHA256Digest) -> KeyName? {
        guard let entry = self.entries[name.words.0], entry.name == name else { return nil }
        return entry.key
    }

    /// Host names are the same in any case (RFC 4343).
    private static func digest(of name: String) -> SHA256Digest {
        let text = name.hasPrefix("DNS:") ? "DNS:" + name.dropFirst(4).lowercased() : name
        // SAFETY: the array owns the bytes, which are hashed in this call only.
        return Array(text.utf8).withUnsafeBytes { SHA256.hash($0) }
    }
}
