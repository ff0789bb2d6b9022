import Bytes

// What a command needs of the deduplication entries: one lookup before it is carried out, and one
// entry afterwards.

/// A call's request id and the deduplication entry that it has.
struct DeduplicationLookup {
    var project: Project
    var kind: RecordKind
    var id: UnsafeRawBufferPointer
    var hash: UInt64
    /// Of the payload without the request id and, since rules version 2, without the times of
    /// sending.
    var fingerprint: Fingerprint
    /// Of the payload without the request id alone.
    var exact: Fingerprint
    /// `nil`: the call is the first with this id, or the entry has expired.
    var entry: RequestDeduplication.DeduplicationEntry?
}

extension RequestDeduplication {
    /// Looks a request id up and hashes the rest of its payload.
    ///
    /// The id is a prefixed text of at most `idBytesMax` bytes inside of the payload, so its prefix
    /// is one byte, which the fingerprint leaves out together with the id.
    ///
    /// - Parameters:
    ///   - id: A slice of `payload`; not empty.
    ///   - now: In microseconds since 1970.
    ///   - equal: The fingerprint that equal messages share; `nil`: that of the payload.
    func lookUp(
        _ project: Project, _ kind: RecordKind, _ id: UnsafeRawBufferPointer,
        in payload: UnsafeRawBufferPointer,
        now: Int64, equal: Fingerprint? = nil
    ) -> DeduplicationLookup {
        // SAFETY: both pointers are borrowed from the record for this call, and `id` is a slice of
        // the payload, so their difference is an index of it; the slices below are checked.
        guard let start = payload.baseAddress, let idStart = id.baseAddress else {
            preconditionFailure("a request id that is not empty is a slice of the payload")
        }
        let before = idStart - start
        let after = before + id.count
        let exact = self.hash.fingerprint(
            UnsafeRawBufferPointer(rebasing: payload[..<(before - 1)]),
            UnsafeRawBufferPointer(rebasing: payload[after...]))
        let hash = self.hash.request(project.id, kind, id)
        return DeduplicationLookup(
            project: project, kind: kind, id: id, hash: hash, fingerprint: equal ?? exact,
            exact: exact, entry: self.find(project.id, kind, id, hash: hash, now: now))
    }

    /// Keeps the response to the call of a lookup that found no entry.
    func remember(
        _ lookup: DeduplicationLookup, response: UnsafeRawBufferPointer, receivedAt: Int64,
        now: Int64
    ) {
        self.remember(
            lookup.project, lookup.kind, lookup.id, hash: lookup.hash,
            fingerprint: lookup.fingerprint,
            response: response, receivedAt: receivedAt, now: now)
    }
}
