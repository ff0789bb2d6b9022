import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`. Counts (`n_...`) bound every array.

/// A valid CreateProjectRequest; what it borrows lies in the arena.
package struct DecodedCreateProject: DecodedRequest {
    /// The project need not exist yet.
    package static var namesProject: Bool { false }
    package static var hasProjectField: Bool { true }
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var options: ProjectOptions
}

/// A valid GetProjectRequest; what it borrows lies in the arena.
package struct DecodedGetProject: DecodedRequest {
    package static var isServedWhileDeleting: Bool { true }
    package var project: UnsafeRawBufferPointer
}

/// A valid ListProjectsRequest; what it borrows lies in the arena.
package struct DecodedListProjects: DecodedRequest {
    package static var namesProject: Bool { false }
    package var project: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
    package var pageSize: Int
    /// Empty: the first page.
    package var pageToken: UnsafeRawBufferPointer
}

/// A valid UpdateProjectRequest; what it borrows lies in the arena.
package struct DecodedUpdateProject: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var options: ProjectOptions
    /// Those of the options that are set.
    package var fields: ProjectOptionFields
}

/// A valid DeleteProjectRequest; what it borrows lies in the arena.
package struct DecodedDeleteProject: DecodedRequest {
    package static var isServedWhileDeleting: Bool { true }
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var isUndo: Bool
}

/// A valid GetStatsRequest; what it borrows lies in the arena.
package struct DecodedGetStats: DecodedRequest {
    package var project: UnsafeRawBufferPointer
}

extension MessageDecoder {
    /// Decodes and validates a CreateProjectRequest; without options it asks for the defaults.
    ///
    /// - Parameter limits: Of the directory, which options may narrow but not exceed.
    package func decodeCreateProject(_ message: UnsafeRawBufferPointer, limits: StoreLimits)
        -> Decoded<DecodedCreateProject>
    {
        self.decode(message, as: WireSchema.shared.createProjectRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedCreateProject(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                options: self.options(request.pointee.options, .all, limits))
        }
    }

    package func decodeGetProject(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedGetProject> {
        self.decode(message, as: WireSchema.shared.getProjectRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedGetProject(project: ValuePacker.text(request.pointee.project))
        }
    }

    package func decodeListProjects(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedListProjects>
    {
        self.decode(message, as: WireSchema.shared.listProjectsRequest) { request in
            DecodedListProjects(
                pageSize: self.pageSize(request.pointee.page_size),
                pageToken: ValuePacker.text(request.pointee.page_token))
        }
    }

    /// Decodes and validates an UpdateProjectRequest. Options that the mask leaves out are not
    /// looked at.
    ///
    /// - Parameter limits: Of the directory, which options may narrow but not exceed.
    package func decodeUpdateProject(_ message: UnsafeRawBufferPointer, limits: StoreLimits)
        -> Decoded<DecodedUpdateProject>
    {
        self.decode(message, as: WireSchema.shared.updateProjectRequest) { request in
            self.checkProject(request.pointee.project)
            let requestID = self.id(request.pointee.request_id, "request_id")
            let fields = self.fields(request.pointee.update_mask)
            // With a mask, what it names is set to the default if no options came.
            if fields == nil, request.pointee.options == nil {
                self.packer.add("missing", at: "options")
            }
            return DecodedUpdateProject(
                project: ValuePacker.text(request.pointee.project), requestID: requestID,
                options: self.options(request.pointee.options, fields ?? .all, limits),
                fields: fields ?? .all)
        }
    }

    package func decodeDeleteProject(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedDeleteProject>
    {
        self.decode(message, as: WireSchema.shared.deleteProjectRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedDeleteProject(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                isUndo: request.pointee.undo != 0)
        }
    }

    package func decodeGetStats(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedGetStats> {
        self.decode(message, as: WireSchema.shared.getStatsRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedGetStats(project: ValuePacker.text(request.pointee.project))
        }
    }

    // MARK: Parts

    /// The options that a mask names; `nil`: there is no mask, or an empty one.
    private func fields(_ mask: UnsafeMutablePointer<Google__Protobuf__FieldMask>?)
        -> ProjectOptionFields?
    {
        guard let mask, mask.pointee.n_paths > 0 else { return nil }
        var fields: ProjectOptionFields = []
        for index in 0 ..< mask.pointee.n_paths {
            if let field = ProjectOptionFields(path: ValuePacker.text(mask.pointee.paths[index])) {
                fields.insert(field)
            } else {
                self.rejectPath(index, ValuePacker.text(mask.pointee.paths[index]))
            }
        }
        return fields
    }

    /// Names what came where it can be a name, as paths of violations do.
    private func rejectPath(_ index: Int, _ path: UnsafeRawBufferPointer) {
        let name = TextRules.isName(path) ? String(decoding: path, as: UTF8.self) : "this"
        self.packer.violations.add(
            Violation(
                path: "update_mask.paths[\(index)]",
                description: "\(name) is not an option of a project"))
    }

    /// The options that a request sets, each within the limits of the directory; the others are
    /// left at their defaults.
    private func options(
        _ given: UnsafeMutablePointer<Profiles__V1__ProjectOptions>?, _ fields: ProjectOptionFields,
        _ limits: StoreLimits
    ) -> ProjectOptions {
        guard let given = given?.pointee else { return ProjectOptions() }
        self.packer.path.push("options")
        defer { self.packer.path.pop() }
        var options = ProjectOptions()
        if fields.contains(.mergePolicy) {
            options.latestWins = self.isLatestWins(given.merge_policy)
        }
        if fields.contains(.doubleOptIn) { options.doubleOptIn = self.channels(given) }
        options.topicDefaultUnsubscribed =
            fields.contains(.topicDefault) && given.topic_default_unsubscribed != 0
        options.resetConsentOnAddressChange =
            fields.contains(.resetConsent) && given.reset_consent_on_address_change != 0
        if fields.contains(.eventRetention) {
            options.eventRetentionDays = self.atMost(
                limits.eventRetentionSeconds / 86_400, given.event_retention_days,
                "event_retention_days")
        }
        if fields.contains(.lateWindow) {
            // Without the retention in the mask it is compared with the project's where the record
            // is applied.
            options.lateWindowSeconds = self.atMost(
                limits.retentionSeconds(options), given.late_window_seconds, "late_window_seconds")
        }
        if fields.contains(.eventsPerProfile) {
            options.eventsPerProfileMax = self.atMost(
                limits.eventsPerProfile, given.events_per_profile_max, "events_per_profile_max")
        }
        return options
    }

    private func isLatestWins(_ policy: Profiles__V1__MergePolicy) -> Bool {
        switch policy {
        case PROFILES__V1__MERGE_POLICY__MERGE_POLICY_LATEST_WINS: return true
        case PROFILES__V1__MERGE_POLICY__MERGE_POLICY_SURVIVOR_WINS,
            PROFILES__V1__MERGE_POLICY__MERGE_POLICY_UNSPECIFIED:
            return false
        default:
            self.packer.add("not a policy of the contract", at: "merge_policy")
            return false
        }
    }

    /// Bits `1 << channel`.
    private func channels(_ given: Profiles__V1__ProjectOptions) -> UInt8 {
        var channels: UInt8 = 0
        for index in 0 ..< given.n_double_opt_in {
            if let channel = Channel(
                rawValue: UInt8(clamping: given.double_opt_in[index].rawValue))
            {
                channels |= 1 << channel.rawValue
            } else {
                self.packer.add("not a channel of the contract", at: "double_opt_in", index: index)
            }
        }
        return channels
    }

    /// A number within a limit; else a violation, and 0.
    private func atMost(_ limit: UInt64, _ value: UInt32, _ field: StaticString) -> UInt32 {
        guard UInt64(value) > limit else { return value }
        self.packer.add("\(value), at most \(limit) is allowed", at: field)
        return 0
    }
}

extension ProjectOptionFields {
    /// Fields of the contract's `ProjectOptions`, in the order of their numbers.
    private static let names: [StaticString] = [
        "merge_policy", "double_opt_in", "topic_default_unsubscribed", "late_window_seconds",
        "event_retention_days", "events_per_profile_max", "reset_consent_on_address_change",
    ]
    /// Masks of other APIs are relative to the request or to the resource; both are understood.
    private static let prefix: StaticString = "options."

    /// The option that a path of a mask names; `nil` if there is none.
    init?(path: UnsafeRawBufferPointer) {
        var name = path[...]
        if name.starts(with: Self.prefix.bytes) {
            name = name.dropFirst(Self.prefix.utf8CodeUnitCount)
        }
        guard let index = Self.names.firstIndex(where: { name.elementsEqual($0.bytes) }) else {
            return nil
        }
        self.init(rawValue: 1 << UInt8(index))
    }
}

extension StaticString {
    fileprivate var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.utf8Start, count: self.utf8CodeUnitCount)
    }
}
