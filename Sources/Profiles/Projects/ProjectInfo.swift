/// What is known of a project, copied for any thread.
package struct ProjectInfo: Equatable, Sendable {
    package var id: ProjectID
    /// `^[a-z0-9][a-z0-9_-]{0,62}$`.
    package var name: [UInt8]
    package var options = ProjectOptions()
    /// In microseconds since 1970; 0: before the log recorded it.
    package var createdAt: Int64 = 0
    /// When everything of the project goes, in microseconds since 1970; 0: it is not being deleted.
    package var deleteDue: Int64 = 0
    /// 1 at creation, one more with each change.
    package var revision: UInt64 = 1

    package init(id: ProjectID, name: [UInt8]) {
        self.id = id
        self.name = name
    }

    /// Whether the project may still be read, and its deletion undone.
    package func exists(at now: Int64) -> Bool { self.deleteDue == 0 || now < self.deleteDue }
}

/// How much a project holds.
package struct ProjectStatistics: Equatable, Sendable {
    /// Without those merged away and erased.
    package var profiles = 0
    /// Profiles with a custom id.
    package var identified = 0
    /// Events retained.
    package var events = 0
    /// Bytes of its profiles, events, merges and kept responses.
    package var bytes = 0

    package init() {}
}
