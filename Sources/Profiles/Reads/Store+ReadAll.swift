import Bytes

// Reading every profile, one after the other, for exports of the whole store.
//
// SAFETY: headers are read under the lock of their shard, below the count that was read under the
// same lock; bytes of ids are borrowed for one closure.

extension Store {
    /// Reads every live profile: by shard, and in a shard in the order of creation. Any thread.
    ///
    /// Each is whole at one revision; while records are applied two of them may be at different
    /// lsns.
    ///
    /// - Parameters:
    ///   - now: In microseconds; events past the retention at this time count as dropped.
    ///   - body: Gets the profile's project, and an image that is valid for its call.
    /// - Complexity: O(bytes of the profiles); one lock at a time, memory for the largest profile.
    package func forEachProfile(now: Int64, _ body: (ProjectID, ProfileImage) -> Void) {
        var buffer = ByteBuffer(capacity: 64 << 10)
        for shard in 0 ..< Shards.count {
            var slot = 0
            while true {
                buffer.removeAll()
                let (isThere, copy) = self.profileLocks.with(shard) { () -> (Bool, ProfileCopy?) in
                    guard slot < self.pool.count(shard) else { return (false, nil) }
                    let header = self.pool.header(ProfileRef(shard: shard, slot: slot)).pointee
                    return (
                        true, header.isLive ? self.copyParts(of: header, now, into: &buffer) : nil
                    )
                }
                guard isThere else { break }
                slot += 1
                guard let copy else { continue }
                self.encode(copy, from: 0, in: &buffer)
                guard let image = ProfileImage(buffer.bytes) else {
                    preconditionFailure("an image of this process is whole")
                }
                body(copy.header.project, image)
            }
        }
    }

    /// Reads every retained event of a profile, oldest first, page by page; nothing if no profile
    /// has this id.
    ///
    /// - Parameter body: Gets the number of events and their images (`StoredEventView`), valid for
    ///   its call.
    package func forEachEventPage(
        project: ProjectID, id: ProfileID, pageSize: Int, now: Int64,
        _ body: (_ count: Int, _ images: UnsafeRawBufferPointer) -> Void
    ) {
        var query = EventQuery(pageSize: pageSize)
        query.isOldestFirst = true
        var buffer = ByteBuffer(capacity: 64 << 10)
        var position: EventPosition?
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            let identifier = IdentifierView(kind: .profileID, bytes: bytes)
            repeat {
                buffer.removeAll()
                let page = self.listEvents(
                    project: project, identifier: identifier, query: query, after: position,
                    now: now, into: &buffer)
                guard let page, page.eventCount > 0 else { return }
                body(page.eventCount, buffer.bytes)
                position = page.next
            } while position != nil
        }
    }

    /// When the last record was received, in microseconds since 1970; for the applier, or while
    /// nothing is applied.
    package var lastReceivedAt: Int64 { self.state.pointee.lastReceivedAt }
}
