import Bytes

// What a reader of change records asks the store, from any thread.
//
// SAFETY: headers are read under the lock of their shard. Bytes of ids are borrowed for one
// closure.

/// Resolves what change records leave to the store: the text of name numbers, and ids of events
/// that the server made.
///
/// A number means the same name for as long as the project exists, and a record is readable only
/// after its names are. The names of a project that is being deleted are freed a while after its
/// time is due, as for every reader: make a resolver for each slice of work, after the check that
/// the project is served, and keep neither it nor what it returns for longer than a slice.
package struct ChangeResolver {
    private let names: NameTable
    private let ids: DerivedIDs

    fileprivate init(names: NameTable, ids: DerivedIDs) {
        self.names = names
        self.ids = ids
    }

    /// The name with a number; empty for one that was never given.
    @inline(__always)
    package func name(_ number: Int) -> UnsafeRawBufferPointer {
        number < NameTable.namesMax ? self.names.name(number) : .none
    }

    /// The id that the server made for an event.
    package func eventID(of event: ChangedEvent) -> ProfileID {
        self.ids.event(receivedAt: event.receivedAt, lsn: event.lsn)
    }
}

extension Store {
    /// The resolver for records of a project; of one that is gone no name is known. Any thread.
    package func resolver(of project: ProjectID) -> ChangeResolver {
        ChangeResolver(names: self.projects.names(of: project), ids: self.ids)
    }

    /// Whether nothing is left of a profile: it was erased, or merged into one that was, or it was
    /// never there. A merged profile whose survivor is known is not erased. Any thread.
    ///
    /// - Complexity: O(1), two locks; no allocation.
    package func isErased(_ project: ProjectID, _ id: ProfileID) -> Bool {
        let isKnown = withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            let identifier = IdentifierView(kind: .profileID, bytes: bytes)
            return self.firstCandidate(project, identifier) { profile -> Bool? in
                self.profileLocks.with(profile.shard) {
                    let header = self.pool.header(profile).pointee
                    return self.identities.holds(header, project, identifier) ? true : nil
                }
            }
        }
        return isKnown == nil
    }

    /// The profile that an identifier names and, if that was merged away, each one after it up to
    /// the one that lives; none if the identifier is unknown or the person is erased. Any thread.
    ///
    /// An installation leads to its present holder, and so does a custom id.
    ///
    /// - Parameter maximum: Ends the chain there.
    /// - Complexity: O(profiles returned), a lock for each.
    package func chain(
        _ project: ProjectID, _ identifier: IdentifierView, max maximum: Int = .max
    ) -> [ProfileID] {
        self.firstCandidate(project, identifier) { profile in
            var chain: [ProfileID] = []
            var next = profile
            while true {
                let link = self.profileLocks.with(next.shard) { () -> ProfileHeader? in
                    let header = self.pool.header(next).pointee
                    // Behind a merge the slot may be another project's by now.
                    guard header.project == project, !header.isTombstone,
                        next != profile || self.identities.holds(header, project, identifier)
                    else { return nil }
                    return header
                }
                guard let link else { return nil }
                chain.append(link.id)
                guard link.mergedInto != 0, chain.count < maximum else { return chain }
                next = ProfileRef(rawValue: link.mergedInto)
            }
        } ?? []
    }
}
