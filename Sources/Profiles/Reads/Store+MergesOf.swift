import Bytes

// The merges into a profile that can still be undone, for people who look at it: no RPC lists them,
// and a change feed shows those of a day.
//
// SAFETY: entries are copied under the lock of the tables, headers and blocks under that of their
// shard; parts are read from the copy.

/// A merge that can still be undone, and what the profile that it took away had.
package struct MergeView: Equatable, Sendable {
    /// What UnmergeProfile names it by.
    package var mergeID: String
    /// The profile that was merged away.
    package var loserID: String
    /// `nil`: it was anonymous.
    package var customID: String?
    /// In microseconds since 1970.
    package var mergedAt: Int64
    /// In microseconds since 1970.
    package var undoableUntil: Int64
    package var lsn: UInt64
    /// Events that moved with the merge.
    package var events: Int
    /// The installations that the loser had.
    package var installations: [String]
    /// The names of the attributes that the loser had, in their order.
    package var attributes: [String]
}

extension Store {
    /// Reads the merges into a profile that can still be undone, the newest first. Any thread.
    ///
    /// A merge of a batch that is rolled back is not among them: its loser never leads to the
    /// survivor.
    ///
    /// - Parameters:
    ///   - id: A merged-away one leads to its survivor.
    ///   - most: How many of them.
    /// - Complexity: O(bytes of the losers' identities and attributes); one lock at a time.
    package func merges(into id: ProfileID, of project: ProjectID, most: Int) -> [MergeView] {
        let survivor = withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            self.withHolder(project, IdentifierView(kind: .profileID, bytes: bytes)) {
                profile, _ in profile
            }
        }
        guard let survivor else { return [] }
        return self.merges.copies(survivor: survivor, most: most).compactMap {
            $0.isUndoable ? self.view(of: $0, project) : nil
        }
    }

    /// `nil`: it was undone or became final meanwhile, or never happened.
    private func view(of merge: MergeEntry, _ project: ProjectID) -> MergeView? {
        var buffer = ByteBuffer()
        let copied = self.profileLocks.with(merge.loser.shard) { () -> ProfileHeader? in
            let header = self.pool.header(merge.loser).pointee
            guard header.project == project, !header.isErased, header.identity != 0,
                header.mergedInto == merge.survivor.rawValue
            else { return nil }
            self.append(header.identity, Int(header.identityBytes), to: &buffer)
            self.append(header.attributes, Int(header.attributesBytes), to: &buffer)
            return header
        }
        guard let header = copied else { return nil }
        let identity = IdentityPart(buffer.base)
        var installations: [String] = []
        identity.forEachInstallation {
            installations.append(String(decoding: $0.id, as: UTF8.self))
        }
        var attributes: [String] = []
        if header.attributes != 0 {
            let names = self.projects.names(of: project)
            AttributePart(UnsafeRawPointer(buffer.base) + Int(header.identityBytes)).forEachName(
                totalBytes: Int(header.attributesBytes)
            ) { attributes.append(String(decoding: names.name($0), as: UTF8.self)) }
        }
        let customID = String(decoding: identity.customID, as: UTF8.self)
        return MergeView(
            mergeID: Self.text(self.merges.id(of: merge, project)), loserID: Self.text(header.id),
            customID: customID.isEmpty ? nil : customID, mergedAt: merge.receivedAt,
            undoableUntil: self.mergeDue(merge.receivedAt), lsn: merge.lsn,
            events: Int(merge.eventCount), installations: installations, attributes: attributes)
    }

    private static func text(_ id: ProfileID) -> String {
        id.withText { String(decoding: $0, as: UTF8.self) }
    }
}
