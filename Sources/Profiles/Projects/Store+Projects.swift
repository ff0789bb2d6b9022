// What any thread may ask of projects.

extension Store {
    /// Changes whenever a project is made, changed or goes: what a loop remembers of projects is
    /// valid as long as this is the same. Any thread.
    package var projectsVersion: UInt64 { 0 }

    /// What is known of a project; `nil` if there is none. Any thread.
    package func project(_ id: ProjectID) -> ProjectInfo? {
        guard let options = self.options(of: id) else { return nil }
        var info = ProjectInfo(id: id, name: [UInt8]("default".utf8))
        info.options = options
        return info
    }

    /// The projects behind a name, ascending by the bytes of their names, at most `limit`; those
    /// that are being deleted too. Any thread.
    ///
    /// - Complexity: O(limit + log(projects)).
    package func projects(after name: [UInt8], limit: Int) -> [ProjectInfo] {
        guard limit > 0, name.lexicographicallyPrecedes("default".utf8),
            let info = self.project(self.defaultProject)
        else { return [] }
        return [info]
    }

    /// The number of projects, those that are being deleted too. Any thread.
    package var projectCount: Int { 1 }

    /// Whether a project is being deleted, so that nothing but GetProject, ExportProject and
    /// DeleteProject is served. Any thread; O(1), no lock.
    package func isDeleted(_ project: ProjectID) -> Bool { false }

    /// How much a project holds; `nil` if there is none. Any thread; O(1).
    package func statistics(of project: ProjectID) -> ProjectStatistics? {
        guard project == self.defaultProject else { return nil }
        var statistics = ProjectStatistics()
        statistics.profiles = self.profileCount
        return statistics
    }
}
