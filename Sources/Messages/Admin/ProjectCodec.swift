import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid GetProjectRequest or UpdateProjectRequest; what it borrows lies in the arena.
package struct DecodedProjectRequest: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Of an UpdateProject.
    package var options = ProjectOptions()
}

/// A project as a response shows it.
package struct ProjectView {
    package var name: StaticString
    package var options: ProjectOptions
    package var limits: StoreLimits

    package init(name: StaticString, options: ProjectOptions, limits: StoreLimits) {
        self.name = name
        self.options = options
        self.limits = limits
    }
}

extension MessageDecoder {
    package func decodeGetProject(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedProjectRequest
    > {
        self.decode(message, as: WireSchema.shared.getProjectRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedProjectRequest(
                project: ValuePacker.text(request.pointee.project),
                requestID: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    package func decodeListProjects(_ message: UnsafeRawBufferPointer) -> Decoded<OperatorRequest> {
        self.decode(message, as: WireSchema.shared.listProjectsRequest) { request in
            // One page holds every project, so no token was ever given out.
            if !ValuePacker.text(request.pointee.page_token).isEmpty {
                self.packer.add("not a token of this listing", at: "page_token")
            }
            return OperatorRequest()
        }
    }

    /// Decodes and validates an UpdateProjectRequest.
    ///
    /// - Parameter limits: Of the directory, which options may narrow but not exceed.
    package func decodeUpdateProject(_ message: UnsafeRawBufferPointer, limits: StoreLimits)
        -> Decoded<DecodedProjectRequest>
    {
        self.decode(message, as: WireSchema.shared.updateProjectRequest) { request in
            self.checkProject(request.pointee.project)
            let requestID = self.id(request.pointee.request_id, "request_id")
            // The record carries whole options: merging some into the present ones is the store's
            // to do, or two concurrent calls would lose one another's changes.
            if let mask = request.pointee.update_mask, mask.pointee.n_paths > 0 {
                self.unsupportedField = "update_mask"
            }
            var options = ProjectOptions()
            if let given = request.pointee.options?.pointee {
                options = self.options(given, limits)
            } else {
                self.packer.add("missing", at: "options")
            }
            return DecodedProjectRequest(
                project: ValuePacker.text(request.pointee.project), requestID: requestID,
                options: options)
        }
    }

    private func options(_ given: Profiles__V1__ProjectOptions, _ limits: StoreLimits)
        -> ProjectOptions
    {
        self.packer.path.push("options")
        defer { self.packer.path.pop() }
        var options = ProjectOptions()
        switch given.merge_policy {
        case PROFILES__V1__MERGE_POLICY__MERGE_POLICY_LATEST_WINS: options.latestWins = true
        case PROFILES__V1__MERGE_POLICY__MERGE_POLICY_SURVIVOR_WINS,
            PROFILES__V1__MERGE_POLICY__MERGE_POLICY_UNSPECIFIED:
            break
        default: self.packer.add("not a policy of the contract", at: "merge_policy")
        }
        for index in 0 ..< given.n_double_opt_in {
            if let channel = Channel(rawValue: UInt8(clamping: given.double_opt_in[index].rawValue))
            {
                options.doubleOptIn |= 1 << channel.rawValue
            } else {
                self.packer.add("holds what is no channel of the contract", at: "double_opt_in")
            }
        }
        options.topicDefaultUnsubscribed = given.topic_default_unsubscribed != 0
        options.resetConsentOnAddressChange = given.reset_consent_on_address_change != 0
        options.eventRetentionDays = self.atMost(
            limits.eventRetentionSeconds / 86_400, given.event_retention_days,
            "event_retention_days")
        options.lateWindowSeconds = self.atMost(
            limits.retentionSeconds(options), given.late_window_seconds, "late_window_seconds")
        options.eventsPerProfileMax = self.atMost(
            limits.eventsPerProfile, given.events_per_profile_max, "events_per_profile_max")
        return options
    }

    /// A number within a limit; else a violation, and 0.
    private func atMost(_ limit: UInt64, _ value: UInt32, _ field: StaticString) -> UInt32 {
        guard UInt64(value) > limit else { return value }
        self.packer.add("\(value), at most \(limit) is allowed", at: field)
        return 0
    }
}

extension MessageEncoder {

    /// Appends the Project, the response to GetProject and UpdateProject.
    package func encodeProject(_ project: ProjectView, into output: inout ByteBuffer) {
        self.arena.reset()
        Self.pack(UnsafeMutableRawPointer(self.project(project)), into: &output)
    }

    /// Appends the ListProjectsResponse of one project.
    package func encodeListProjectsResponse(_ project: ProjectView, into output: inout ByteBuffer) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_projects_response__init)
        response.pointee.n_projects = 1
        response.pointee.projects = self.arena.pointers(1)
        response.pointee.projects[0] = self.project(project)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    private func project(_ view: ProjectView) -> UnsafeMutablePointer<Profiles__V1__Project> {
        let project = self.arena.make(profiles__v1__project__init)
        project.pointee.project = self.arena.string(view.name.description)
        project.pointee.options = self.options(view)
        let limits = Self.stateLimits(of: view) + Self.fixedLimits
        project.pointee.n_limits = limits.count
        project.pointee.limits = self.arena.pointers(limits.count)
        for (index, limit) in limits.enumerated() {
            let entry = self.arena.make(profiles__v1__project__limits_entry__init)
            entry.pointee.key = self.arena.string(limit.name)
            entry.pointee.value = limit.value
            project.pointee.limits[index] = entry
        }
        return project
    }

    /// Options as they hold: a default is shown as the number that it stands for.
    private func options(_ view: ProjectView) -> UnsafeMutablePointer<Profiles__V1__ProjectOptions>
    {
        let options = self.arena.make(profiles__v1__project_options__init)
        options.pointee.merge_policy =
            view.options.latestWins
            ? PROFILES__V1__MERGE_POLICY__MERGE_POLICY_LATEST_WINS
            : PROFILES__V1__MERGE_POLICY__MERGE_POLICY_SURVIVOR_WINS
        let channels = [Channel.email, .sms, .push].filter {
            view.options.doubleOptIn & 1 << $0.rawValue != 0
        }
        // SAFETY: the arena gives one element for each channel, until its reset.
        options.pointee.n_double_opt_in = channels.count
        options.pointee.double_opt_in = self.arena.memory(
            max(channels.count, 1) * MemoryLayout<Profiles__V1__Channel>.stride
        )
        .bindMemory(to: Profiles__V1__Channel.self, capacity: max(channels.count, 1))
        for (index, channel) in channels.enumerated() {
            options.pointee.double_opt_in[index] = Profiles__V1__Channel(
                rawValue: UInt32(channel.rawValue))
        }
        options.pointee.topic_default_unsubscribed = view.options.topicDefaultUnsubscribed ? 1 : 0
        options.pointee.reset_consent_on_address_change =
            view.options.resetConsentOnAddressChange ? 1 : 0
        options.pointee.late_window_seconds = UInt32(
            clamping: view.limits.lateSeconds(view.options))
        options.pointee.event_retention_days = UInt32(
            clamping: view.limits.retentionSeconds(view.options) / 86_400)
        options.pointee.events_per_profile_max = UInt32(
            clamping: view.options.eventsPerProfileMax == 0
                ? view.limits.eventsPerProfile : UInt64(view.options.eventsPerProfileMax))
        return options
    }
}
