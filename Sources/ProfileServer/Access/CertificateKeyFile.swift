import IOLinux
import ProfileService
import Profiles

/// The table of `--tls-client-keys`: a certificate's name and the id of a key on each line, blank
/// lines, and comments that begin with `#`.
///
/// ```
/// # The web shop's back end; its key has the scopes read and write in project shop.
/// URI:spiffe://example/shop       pk_4f7a2c9d1e8b6a35
/// DNS:crm.internal.example        pk_0123456789abcdef
/// SUBJECT:CN=Nightly export,O=Example   pk_fedcba9876543210
/// ```
enum CertificateKeyFile {
    /// In bytes: as many names of 200 bytes as the table may have.
    private static let bytesMax = CertificateKeys.namesMax * 200
    private static let kinds = ["URI:", "DNS:", "EMAIL:", "SUBJECT:"]
    private static let prefix = "pk_"

    /// The configured table; `nil`: there is none.
    static func read(_ settings: TLSSettings) throws(ServerFileFailure) -> CertificateKeys? {
        guard let path = settings.clientKeyFile else { return nil }
        return try self.read(path)
    }

    private static func read(_ path: String) throws(ServerFileFailure) -> CertificateKeys {
        let bytes: [UInt8]
        do throws(LinuxSecretFile.Failure) {
            bytes = try LinuxSecretFile.readPublic(path, bytesMax: self.bytesMax + 1)
        } catch {
            throw ServerFileFailure(description: "table of certificates \(path): \(error)")
        }
        do throws(ServerFileFailure) { return try self.parse(bytes) } catch {
            throw ServerFileFailure(description: "table of certificates \(path): \(error)")
        }
    }

    /// - Throws: The first error. It never quotes a line, which may have a whole key by mistake.
    static func parse(_ bytes: [UInt8]) throws(ServerFileFailure) -> CertificateKeys {
        guard bytes.count <= self.bytesMax else {
            throw ServerFileFailure(description: "more than \(self.bytesMax) bytes")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ServerFileFailure(description: "not UTF-8")
        }
        var keys = CertificateKeys()
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        for (index, line) in lines.enumerated() {
            let line = self.trim(line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let blank = line.lastIndex(where: \.isWhitespace),
                let key = self.key(line[line.index(after: blank)...])
            else {
                throw ServerFileFailure(
                    description: "line \(index + 1): expected NAME and the id of a key, as "
                        + "pk_ and 16 characters, without its secret")
            }
            let name = self.trim(line[..<blank])
            guard self.kinds.contains(where: { name.hasPrefix($0) && name != $0 }) else {
                throw ServerFileFailure(
                    description: "line \(index + 1): expected a name that begins with "
                        + self.kinds.joined(separator: ", "))
            }
            guard keys.count < CertificateKeys.namesMax else {
                throw ServerFileFailure(description: "more than \(CertificateKeys.namesMax) names")
            }
            guard keys.add(String(name), key: key) else {
                throw ServerFileFailure(
                    description: "line \(index + 1) has the name of an earlier line")
            }
        }
        return keys
    }

    private static func key(_ word: Substring) -> KeyName? {
        let id = word.hasPrefix(self.prefix) ? word.dropFirst(self.prefix.count) : word
        // SAFETY: the array owns the bytes, which are read in this call only.
        return Array(id.utf8).withUnsafeBytes { KeyName(text: $0) }
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
