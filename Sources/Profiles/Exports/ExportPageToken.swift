import Bytes

/// Where an export of a project goes on.
///
/// It stands on the last part of every person, so its code is a keyed hash of the directory, which
/// costs a twentieth of the HMAC of other tokens. What it protects is little: a client may read all
/// of the project anyway, and the code only makes sure that a position is one of this project.
///
/// Layout: `position: UInt64 | project: UInt32 | code: 16 bytes`, as base64url.
struct ExportPageToken {
    private static let contentBytes = 8 + 4
    private static let codeBytes = 16

    var project: ProjectID
    var position: UInt64

    func appendText(_ hash: KeyedHash, to buffer: inout ByteBuffer) {
        var content = ByteBuffer(capacity: 64)
        content.append(self.position)
        content.append(self.project.rawValue)
        let code = hash.exportPage(content.bytes)
        content.append(code.low)
        content.append(code.high)
        Base64URL.encode(content.bytes, into: &buffer)
    }

    /// `nil`: not a token that this directory made.
    init?(text: UnsafeRawBufferPointer, _ hash: KeyedHash) {
        var bytes = ByteBuffer(capacity: 64)
        let total = Self.contentBytes + Self.codeBytes
        guard text.count <= 2 * total, Base64URL.decode(text, into: &bytes), bytes.count == total
        else { return nil }
        let content = UnsafeRawBufferPointer(rebasing: bytes.bytes[..<Self.contentBytes])
        let code = hash.exportPage(content)
        var reader = ByteReader(bytes.bytes)
        self.position = reader.read()
        self.project = ProjectID(rawValue: reader.read())
        // One comparison of all bits.
        guard (code.low ^ reader.read()) | (code.high ^ reader.read()) == 0 else { return nil }
    }

    init(project: ProjectID, position: UInt64) {
        self.project = project
        self.position = position
    }
}

extension Store {
    /// Appends the token that continues an export of a project at a position.
    package func appendExportToken(
        _ project: ProjectID, position: UInt64, to buffer: inout ByteBuffer
    ) {
        ExportPageToken(project: project, position: position).appendText(self.hash, to: &buffer)
    }

    /// The position of a token; `nil`: this directory did not make it for this project.
    package func verifyExportToken(_ text: UnsafeRawBufferPointer, in project: ProjectID)
        -> UInt64?
    {
        guard let token = ExportPageToken(text: text, self.hash), token.project == project else {
            return nil
        }
        return token.position
    }

    /// Whether people of a project may be read: it is there, and the removal of its data has not
    /// begun. Any thread; no lock.
    ///
    /// - Parameter now: By the machine's clock, in microseconds.
    package func isExportable(_ project: ProjectID, now: Int64) -> Bool {
        guard let found = self.projects.find(project), found.id == project else { return false }
        let due = self.deleteDue(of: project)
        return due == 0 || now < due
    }
}
