import Bytes

/// Where a page of a listing of profiles ended.
package struct ProfilePosition: Equatable, Sendable {
    /// As `ProfileScan.position`.
    package var position: UInt64
    /// What the relative times of the filter are taken from on every page, in microseconds since
    /// 1970.
    package var time: Int64

    package init(position: UInt64, time: Int64) {
        self.position = position
        self.time = time
    }
}

/// A token that continues a listing of profiles.
///
/// Layout: `5: UInt8 | project: UInt32 | filter: 16 bytes | position: UInt64 | time: Int64 µs`.
struct ProfilePageToken {
    var project: ProjectID
    /// A hash of the filter: a token continues only the same listing.
    var filter: Fingerprint
    var position: ProfilePosition

    /// Beside those of `ConsentToken.Kind`, `HistoryPosition` and `EventPageToken`.
    private static let kind: UInt8 = 5

    init(project: ProjectID, filter: Fingerprint, position: ProfilePosition) {
        self.project = project
        self.filter = filter
        self.position = position
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(Self.kind)
        buffer.append(self.project.rawValue)
        buffer.append(self.filter.low)
        buffer.append(self.filter.high)
        buffer.append(self.position.position)
        buffer.append(self.position.time)
    }

    init?(content: UnsafeRawBufferPointer) {
        var reader = ByteReader(content)
        guard reader.read(UInt8.self) == Self.kind else { return nil }
        self.project = ProjectID(rawValue: reader.read())
        self.filter = Fingerprint(low: reader.read(), high: reader.read())
        self.position = ProfilePosition(position: reader.read(), time: reader.read())
        guard reader.isAtCleanEnd else { return nil }
    }
}

// SAFETY: the bytes of an array are borrowed for its closure.
extension Store {
    /// Appends the token that continues a listing from a position. Any thread.
    package func appendPageToken(
        project: ProjectID, filter: CompiledFilter, position: ProfilePosition,
        to buffer: inout ByteBuffer
    ) {
        var content = ByteBuffer(capacity: 64)
        ProfilePageToken(
            project: project, filter: self.fingerprint(of: filter), position: position
        ).write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// The position of a token; `nil` if this directory did not make it for this listing. Any
    /// thread.
    package func verifyPage(
        _ text: UnsafeRawBufferPointer, project: ProjectID, filter: CompiledFilter
    ) -> ProfilePosition? {
        var content = ByteBuffer(capacity: 64)
        guard let bytes = self.tokens.verify(text, into: &content),
            let token = ProfilePageToken(content: bytes),
            token.project == project, token.filter == self.fingerprint(of: filter)
        else { return nil }
        return token.position
    }

    /// Filters of one canonical form match the same.
    private func fingerprint(of filter: CompiledFilter) -> Fingerprint {
        Array(filter.canonicalText.utf8).withUnsafeBytes { self.hash.fingerprint($0, .none) }
    }
}
