import Bytes
import CMessages
import Profiles

// SAFETY: responses are made in the encoder's arena and serialised before its reset. Counts
// (`n_...`) bound every array.

/// What GetStats shows of a project.
package struct ProjectFigures {
    package var held: ProjectStatistics
    package var items: ItemCounts
    /// Up to which everything is counted in `held`.
    package var lsn: UInt64
    /// Keys that are neither revoked nor expired.
    package var keys: Int

    package init(held: ProjectStatistics, items: ItemCounts, lsn: UInt64, keys: Int) {
        self.held = held
        self.items = items
        self.lsn = lsn
        self.keys = keys
    }
}

extension MessageEncoder {
    /// Appends the Project, the response to GetProject, CreateProject and UpdateProject.
    ///
    /// - Parameter limits: Of the directory.
    package func encodeProject(
        _ project: ProjectInfo, limits: StoreLimits, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        Self.pack(UnsafeMutableRawPointer(self.project(project, limits)), into: &output)
    }

    /// Appends the ListProjectsResponse of one page.
    ///
    /// - Parameter nextPageToken: Empty: the page is the last.
    package func encodeListProjectsResponse(
        _ projects: [ProjectInfo], limits: StoreLimits, nextPageToken: UnsafeRawBufferPointer,
        into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_projects_response__init)
        response.pointee.n_projects = projects.count
        response.pointee.projects = self.arena.pointers(projects.count)
        for (index, project) in projects.enumerated() {
            response.pointee.projects[index] = self.project(project, limits)
        }
        response.pointee.next_page_token = self.arena.string(nextPageToken)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the DeleteProjectResponse; without a time after an undo.
    package func encodeDeleteProjectResponse(
        _ project: ProjectInfo, into output: inout ByteBuffer
    ) {
        guard project.deleteDue != 0 else { return }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__delete_project_response__init)
        response.pointee.delete_due = self.timestamp(project.deleteDue)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the GetStatsResponse. There are no triggers yet, so none fires.
    package func encodeGetStatsResponse(
        _ figures: ProjectFigures, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__get_stats_response__init)
        response.pointee.profiles = UInt64(max(figures.held.profiles, 0))
        response.pointee.identified = UInt64(max(figures.held.identified, 0))
        response.pointee.events = UInt64(max(figures.held.events, 0))
        response.pointee.bytes = UInt64(max(figures.held.bytes, 0))
        response.pointee.received = figures.items.received
        response.pointee.stored = figures.items.stored
        response.pointee.duplicate = figures.items.duplicate
        response.pointee.stale = figures.items.stale
        response.pointee.rejected = figures.items.rejected
        response.pointee.lsn = figures.lsn
        response.pointee.keys = UInt64(figures.keys)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    private func project(
        _ info: ProjectInfo, _ directory: StoreLimits
    ) -> UnsafeMutablePointer<Profiles__V1__Project> {
        let project = self.arena.make(profiles__v1__project__init)
        project.pointee.project = info.name.withUnsafeBytes { self.arena.string($0) }
        project.pointee.options = self.options(info.options, directory)
        let limits = Self.stateLimits(of: info.options, directory) + Self.fixedLimits
        project.pointee.n_limits = limits.count
        project.pointee.limits = self.arena.pointers(limits.count)
        for (index, limit) in limits.enumerated() {
            let entry = self.arena.make(profiles__v1__project__limits_entry__init)
            entry.pointee.key = self.arena.string(limit.name)
            entry.pointee.value = limit.value
            project.pointee.limits[index] = entry
        }
        if info.createdAt != 0 { project.pointee.created_at = self.timestamp(info.createdAt) }
        if info.deleteDue != 0 { project.pointee.delete_due = self.timestamp(info.deleteDue) }
        project.pointee.revision = info.revision
        return project
    }

    /// Options as they hold: a default is shown as the number that it stands for.
    private func options(
        _ options: ProjectOptions, _ directory: StoreLimits
    ) -> UnsafeMutablePointer<Profiles__V1__ProjectOptions> {
        let given = directory.inForce(options)
        let message = self.arena.make(profiles__v1__project_options__init)
        message.pointee.merge_policy =
            given.latestWins
            ? PROFILES__V1__MERGE_POLICY__MERGE_POLICY_LATEST_WINS
            : PROFILES__V1__MERGE_POLICY__MERGE_POLICY_SURVIVOR_WINS
        let channels = [Channel.email, .sms, .push].filter {
            given.doubleOptIn & 1 << $0.rawValue != 0
        }
        // SAFETY: the arena gives one element for each channel, until its reset.
        message.pointee.n_double_opt_in = channels.count
        message.pointee.double_opt_in = self.arena.memory(
            max(channels.count, 1) * MemoryLayout<Profiles__V1__Channel>.stride
        )
        .bindMemory(to: Profiles__V1__Channel.self, capacity: max(channels.count, 1))
        for (index, channel) in channels.enumerated() {
            message.pointee.double_opt_in[index] = Profiles__V1__Channel(
                rawValue: UInt32(channel.rawValue))
        }
        message.pointee.topic_default_unsubscribed = given.topicDefaultUnsubscribed ? 1 : 0
        message.pointee.reset_consent_on_address_change =
            given.resetConsentOnAddressChange ? 1 : 0
        message.pointee.late_window_seconds = given.lateWindowSeconds
        message.pointee.event_retention_days = given.eventRetentionDays
        message.pointee.events_per_profile_max = given.eventsPerProfileMax
        return message
    }
}
