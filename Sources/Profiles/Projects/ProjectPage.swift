import Bytes

// SAFETY: texts and contents of tokens are borrowed for the call that copies them.

// Pages of the listing of projects, by name: a project that exists throughout is on exactly one of
// them, whatever is made and goes meanwhile.

/// Where a page of projects ended.
///
/// Layout: `5: UInt8 | name: the rest`.
struct ProjectPageToken {
    /// Beside those of `ConsentToken.Kind`, `HistoryPosition` and `PagePosition`.
    private static let kind: UInt8 = 5

    /// Of the last project shown.
    var name: [UInt8]

    func write(into buffer: inout ByteBuffer) {
        buffer.append(Self.kind)
        self.name.withUnsafeBytes { buffer.append($0) }
    }

    init(name: [UInt8]) {
        self.name = name
    }

    init?(content: UnsafeRawBufferPointer) {
        guard content.first == Self.kind else { return nil }
        self.name = [UInt8](content.dropFirst())
    }
}

extension Store {
    /// Appends the token that continues a listing of projects behind a name.
    package func appendProjectPageToken(after name: [UInt8], to buffer: inout ByteBuffer) {
        var content = ByteBuffer(capacity: 64)
        ProjectPageToken(name: name).write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// The name behind which a listing of projects continues; `nil` if this directory did not make
    /// the token for one.
    package func verifyProjectPage(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        var content = ByteBuffer(capacity: 64)
        guard let bytes = self.tokens.verify(text, into: &content) else { return nil }
        return ProjectPageToken(content: bytes)?.name
    }
}
