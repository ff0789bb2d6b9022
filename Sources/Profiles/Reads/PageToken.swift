import Bytes

/// Where a page of a listing ended, as it is in a token.
protocol PagePosition {
    /// Of the token. Taken by others: 1 to 3 by `ConsentToken.Kind` and `HistoryPosition`, 5 by
    /// `ProjectPageToken`.
    static var tokenKind: UInt8 { get }
    /// Reads what `write` wrote; the reader notes what is missing.
    init(from reader: inout ByteReader)
    func write(into buffer: inout ByteBuffer)
}

/// A token that continues a listing of one project.
///
/// Layout: `tokenKind: UInt8 | project: UInt32 | filter: 16 bytes | position`.
struct PageToken<Position: PagePosition> {
    var project: ProjectID
    /// A hash of the listing's parameters: a token continues only the same listing.
    var filter: Fingerprint
    var position: Position

    init(project: ProjectID, filter: Fingerprint, position: Position) {
        self.project = project
        self.filter = filter
        self.position = position
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(Position.tokenKind)
        buffer.append(self.project.rawValue)
        buffer.append(self.filter.low)
        buffer.append(self.filter.high)
        self.position.write(into: &buffer)
    }

    init?(content: UnsafeRawBufferPointer) {
        var reader = ByteReader(content)
        guard reader.read(UInt8.self) == Position.tokenKind else { return nil }
        self.project = ProjectID(rawValue: reader.read())
        self.filter = Fingerprint(low: reader.read(), high: reader.read())
        self.position = Position(from: &reader)
        guard reader.isAtCleanEnd else { return nil }
    }
}

extension Store {
    func appendPageToken<Position: PagePosition>(
        _ project: ProjectID, _ filter: Fingerprint, _ position: Position,
        to buffer: inout ByteBuffer
    ) {
        var content = ByteBuffer(capacity: 64)
        PageToken(project: project, filter: filter, position: position).write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// The position of a token; `nil` if this directory did not make it for this listing.
    func verifyPage<Position: PagePosition>(
        _ text: UnsafeRawBufferPointer, _ project: ProjectID, _ filter: Fingerprint
    ) -> Position? {
        var content = ByteBuffer(capacity: 64)
        guard let bytes = self.tokens.verify(text, into: &content),
            let token = PageToken<Position>(content: bytes),
            token.project == project, token.filter == filter
        else { return nil }
        return token.position
    }
}
