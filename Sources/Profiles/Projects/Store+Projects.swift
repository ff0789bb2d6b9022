// What any thread may ask of projects, beside what a record changes.
//
// SAFETY: a record stays at its place until the store ends; readers take atomics only, and compare
// its number with the one they asked for. A start from a snapshot is the applier's.

extension Store {
    /// The number of the project that every store begins with. Its name is `default` until it is
    /// deleted.
    package var defaultProject: ProjectID { ProjectTable.defaultID }

    /// The project with a name, also one that is being deleted; `nil` if there is none. Any thread.
    ///
    /// - Complexity: O(1), one lock; none for the project `default`.
    package func findProject(_ name: UnsafeRawBufferPointer) -> ProjectID? {
        self.projects.find(name)
    }

    /// Changes whenever a project is made, changed or goes: what a loop remembers of projects is
    /// valid as long as this is the same. Any thread; one load.
    package var projectsVersion: UInt64 { self.projects.version }

    /// The number of projects, those that are being deleted too. Any thread.
    package var projectCount: Int { self.projects.count }

    /// What is known of a project; `nil` if there is none. Any thread.
    package func project(_ id: ProjectID) -> ProjectInfo? { self.projects.info(id) }

    /// The projects behind a name, ascending by the bytes of their names, at most `limit`; those
    /// that are being deleted too. Any thread.
    ///
    /// - Complexity: O(limit + log(projects)).
    package func projects(after name: [UInt8], limit: Int) -> [ProjectInfo] {
        self.projects.infos(after: name, limit: limit)
    }

    /// The options of a project; `nil` if there is no such project. Any thread.
    package func options(of project: ProjectID) -> ProjectOptions? {
        self.projects.info(project)?.options
    }

    /// Whether a project is being deleted, so that nothing but GetProject, ExportProject and
    /// DeleteProject is served. Any thread; no lock.
    @inline(__always)
    package func isDeleted(_ project: ProjectID) -> Bool { self.deleteDue(of: project) != 0 }

    /// When everything of a project goes, in microseconds since 1970; 0: it is not being deleted,
    /// or there is none. Any thread; no lock.
    package func deleteDue(of project: ProjectID) -> Int64 {
        guard let found = self.projects.find(project) else { return 0 }
        let due = found.record.pointee.deleteDue.load(ordering: .relaxed)
        return found.id == project ? due : 0
    }

    /// The time windows of a project; `nil` if there is no such project. Any thread; no lock.
    package func timeWindows(of project: ProjectID) -> TimeWindows? {
        guard let found = self.projects.find(project) else { return nil }
        let windows = TimeWindows(
            lateSeconds: found.lateSeconds, aheadSeconds: self.limits.aheadWindowSeconds,
            historicalSeconds: found.retentionSeconds)
        // The record may be another project's by now.
        return found.id == project ? windows : nil
    }

    /// Whether a topic without a subscription state counts as unsubscribed. Any thread; no lock.
    package func isTopicUnsubscribedByDefault(in project: ProjectID) -> Bool {
        self.projects.find(project)?.record.pointee.topicDefault.load(ordering: .relaxed) ?? false
    }

    /// How much a project holds; `nil` if there is none. Any thread; no lock.
    package func statistics(of project: ProjectID) -> ProjectStatistics? {
        guard let found = self.projects.find(project) else { return nil }
        var statistics = ProjectStatistics()
        statistics.profiles = found.record.pointee.profiles.load(ordering: .relaxed)
        statistics.identified = found.record.pointee.identified.load(ordering: .relaxed)
        statistics.events = found.record.pointee.events.load(ordering: .relaxed)
        statistics.bytes =
            found.record.pointee.bytes.load(ordering: .relaxed)
            + statistics.profiles * MemoryLayout<ProfileHeader>.stride
        return found.id == project ? statistics : nil
    }

    // MARK: A start from a snapshot

    /// Removes the project that an empty store has: a snapshot names all of its own.
    func removeDefaultProject() {
        let first = self.project
        self.select(self.projects.instance)
        self.projects.remove([first])
    }

    /// Whether each list of vacant slots is one: of slots that no profile has, and with an end.
    var hasWholeVacantLists: Bool {
        for shard in 0 ..< Shards.count {
            var (next, left) = (self.pool.vacant(shard), self.pool.count(shard))
            while next != 0 {
                let profile = ProfileRef(rawValue: next)
                guard left > 0, profile.shard == shard, profile.slot < self.pool.count(shard),
                    self.pool.header(profile).pointee.isVacant
                else { return false }
                next = self.pool.header(profile).pointee.nextVacant
                left -= 1
            }
        }
        return true
    }

    /// Counts what was loaded since the last call for a project.
    func countLoaded(for project: Project) {
        self.state.pointee.project = project
        self.settleBytes()
    }

    /// Counts a profile that was loaded for its project.
    func countLoaded(_ header: ProfileHeader) {
        guard let project = self.projects.find(header.project) else { return }
        project.record.pointee.counts.profiles += header.isLive ? 1 : 0
        project.record.pointee.counts.identified += self.isIdentified(header) ? 1 : 0
        project.record.pointee.counts.events += Int(header.eventCount)
        self.countLoaded(for: project)
    }

    /// Computes what is no state of its own, once everything is loaded.
    func completeLoad() {
        self.select(self.projects.all.first ?? self.projects.instance)
        for project in self.projects.all {
            project.publishCounts()
            self.state.pointee.forgottenRequests = max(
                self.state.pointee.forgottenRequests, project.requests.forgotten)
        }
        self.refreshOldest(at: self.lastReceivedAt)
        self.refreshNextExpiry()
        self.refreshNextProjectDue()
        self.publishProfileCount(self.state.pointee.profileCount)
        self.publishRequestIDHorizon(now: self.lastReceivedAt)
    }
}
