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

extension ProfilePosition: PagePosition {
    static let tokenKind: UInt8 = 6

    init(from reader: inout ByteReader) {
        self.init(position: reader.read(), time: reader.read())
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.position)
        buffer.append(self.time)
    }
}

// SAFETY: the bytes of an array are borrowed for its closure.
extension Store {
    /// Appends the token that continues a listing from a position. Any thread.
    package func appendPageToken(
        project: ProjectID, filter: CompiledFilter, position: ProfilePosition,
        to buffer: inout ByteBuffer
    ) {
        self.appendPageToken(project, self.fingerprint(of: filter), position, to: &buffer)
    }

    /// The position of a token; `nil` if this directory did not make it for this listing. Any
    /// thread.
    package func verifyPage(
        _ text: UnsafeRawBufferPointer, project: ProjectID, filter: CompiledFilter
    ) -> ProfilePosition? {
        self.verifyPage(text, project, self.fingerprint(of: filter))
    }

    /// Filters of one canonical form match the same.
    private func fingerprint(of filter: CompiledFilter) -> Fingerprint {
        Array(filter.canonicalText.utf8).withUnsafeBytes { self.hash.fingerprint($0, .none) }
    }
}
