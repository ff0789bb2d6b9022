import Bytes
import CMessages
import Profiles

/// A decoded and valid GetProfileRequest; the identifier lies in the arena until the decoder is
/// used again.
package struct DecodedGetProfile {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    package var mask: ReadMask
    package var minLSN: UInt64
    /// As it was asked for, in the arena.
    let request: UnsafeMutablePointer<Profiles__V1__GetProfileRequest>
}

extension MessageDecoder {
    /// Decodes and validates a GetProfileRequest.
    package func decodeGetProfile(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedGetProfile> {
        let decoded = self.decode(message, root: WireSchema.shared.getProfileRequest) {
            allocator, count, bytes in
            profiles__v1__get_profile_request__unpack(allocator, count, bytes)
        }
        let request: UnsafeMutablePointer<Profiles__V1__GetProfileRequest>
        switch decoded {
        case .message(let message): request = message
        case .invalid(let violations): return .invalid(violations)
        case .malformed(let found): return .malformed(found)
        case .tooLarge: return .tooLarge
        }
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        self.checkProject(request.pointee.project)
        let identifier = self.identifier(request.pointee.identifier)
        let mask = self.mask(request.pointee.read_mask, withMetadata: request.pointee.metadata != 0)
        guard self.packer.violations.isEmpty else { return .invalid(self.packer.violations) }
        return .message(
            DecodedGetProfile(
                project: ValuePacker.text(request.pointee.project), identifier: identifier,
                mask: mask,
                minLSN: request.pointee.min_lsn, request: request))
    }

    func mask(_ mask: UnsafeMutablePointer<Google__Protobuf__FieldMask>?, withMetadata: Bool)
        -> ReadMask
    {
        guard let mask = mask?.pointee, mask.n_paths > 0 else {
            return withMetadata ? ReadMask.standard.union(.attributeMetadata) : .standard
        }
        var parts: ReadMask = []
        for index in 0 ..< mask.n_paths {
            guard let part = ReadMask.part(ValuePacker.text(mask.paths[index])) else {
                self.rejectPath(index, "not a field of Profile")
                continue
            }
            if part == .attributeMetadata, !withMetadata {
                self.rejectPath(index, "needs metadata = true")
            }
            parts.insert(part)
        }
        return parts
    }

    private func rejectPath(_ index: Int, _ description: String) {
        self.packer.violations.add(
            Violation(path: "read_mask.paths[\(index)]", description: description))
    }

    /// Appends the GetProfileResponse of a profile that was found.
    ///
    /// - Parameters:
    ///   - isRedirected: The identifier asked for is an alias: it is shown in `redirected_from`.
    ///   - appliedLSN: Up to where the answer knows.
    package func encodeGetProfileResponse(
        _ image: ProfileImage, of request: DecodedGetProfile, isRedirected: Bool,
        appliedLSN: UInt64,
        into output: inout ByteBuffer
    ) {
        // The arena is not reset: `redirected_from` still lies in it.
        let response = self.arena.make(profiles__v1__get_profile_response__init)
        response.pointee.profile = self.profile(image, mask: request.mask)
        response.pointee.lsn = appliedLSN
        if isRedirected {
            response.pointee.redirected_from = self.identifierText(request.identifier)
        }
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the GetProfileResponse that shows everything of a profile, the metadata of
    /// attributes included.
    package func encodeWholeProfile(
        _ image: ProfileImage, appliedLSN: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__get_profile_response__init)
        response.pointee.profile = self.profile(
            image, mask: ReadMask.standard.union(.attributeMetadata))
        response.pointee.lsn = appliedLSN
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    func profile(_ image: ProfileImage, mask: ReadMask) -> UnsafeMutablePointer<
        Profiles__V1__Profile
    > {
        let profile = self.arena.make(profiles__v1__profile__init)
        if mask.contains(.profileID) {
            profile.pointee.profile_id = self.profileIDText(image.profileID)
        }
        if mask.contains(.customID) {
            profile.pointee.custom_id = self.arena.string(image.customID)
        }
        if mask.contains(.state) {
            profile.pointee.state = Profiles__V1__State(rawValue: UInt32(image.state.rawValue))
        }
        if mask.contains(.createdAt) {
            profile.pointee.created_at = self.timestamp(image.createdAt)
        }
        if mask.contains(.updatedAt) {
            profile.pointee.updated_at = self.timestamp(image.updatedAt)
        }
        if mask.contains(.lastSeenAt), image.lastSeenAt != 0 {
            profile.pointee.last_seen_at = self.timestamp(image.lastSeenAt)
        }
        if mask.contains(.revision) { profile.pointee.revision = image.revision }
        if mask.contains(.lsn) { profile.pointee.lsn = image.lsn }
        if mask.contains(.eventsTruncatedBefore), image.eventsTruncatedBefore != 0 {
            profile.pointee.events_truncated_before = self.timestamp(image.eventsTruncatedBefore)
        }
        var lists = image.lists
        self.readInstallations(&lists, mask, into: profile)
        self.readAliases(&lists, mask, into: profile)
        self.readCounters(&lists, mask, into: profile)
        if mask.contains(.subscriptions) {
            profile.pointee.subscriptions = self.subscriptions(of: image)
        }
        self.readAttributes(&lists, mask, into: profile)
        return profile
    }

    private func readInstallations(
        _ lists: inout ByteReader, _ mask: ReadMask,
        into profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        let count = Int(lists.readVarint())
        let shows = mask.contains(.installations)
        if shows { profile.pointee.installations = self.arena.pointers(count) }
        for index in 0 ..< count {
            let id = lists.readPrefixed()
            let platform = lists.read(UInt8.self)
            let attachedAt = lists.read(Int64.self)
            let lastSeenAt = lists.read(Int64.self)
            guard shows else { continue }
            let installation = self.arena.make(profiles__v1__installation__init)
            installation.pointee.installation_id = self.arena.string(id)
            installation.pointee.platform = Profiles__V1__Platform(rawValue: UInt32(platform))
            installation.pointee.attached_at = self.timestamp(attachedAt)
            installation.pointee.last_seen_at = self.timestamp(lastSeenAt)
            profile.pointee.installations[index] = installation
        }
        if shows { profile.pointee.n_installations = count }
    }

    private func readAliases(
        _ lists: inout ByteReader, _ mask: ReadMask,
        into profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        let count = Int(lists.readVarint())
        let shows = mask.contains(.aliases)
        if shows { profile.pointee.aliases = self.arena.pointers(count) }
        for index in 0 ..< count {
            let kind = IdentifierKind(rawValue: lists.read())
            let bytes = lists.readPrefixed()
            guard shows, let kind else { continue }
            profile.pointee.aliases[index] = self.identifierMessage(
                IdentifierView(kind: kind, bytes: bytes))
        }
        if shows { profile.pointee.n_aliases = count }
    }

    func identifierMessage(_ identifier: IdentifierView) -> UnsafeMutablePointer<
        Profiles__V1__Identifier
    > {
        let message = self.arena.make(profiles__v1__identifier__init)
        switch identifier.kind {
        case .profileID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_PROFILE_ID
        case .customID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_CUSTOM_ID
        case .installationID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_INSTALLATION_ID
        }
        // The three members of the union are the same pointer.
        message.pointee.profile_id = self.identifierText(identifier)
        return message
    }

    private func readCounters(
        _ lists: inout ByteReader, _ mask: ReadMask,
        into profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        let count = Int(lists.readVarint())
        let shows = mask.contains(.eventCounters)
        if shows {
            profile.pointee.n_event_counters = count
            profile.pointee.event_counters = self.arena.pointers(count)
        }
        for index in 0 ..< count {
            guard shows else {
                _ = lists.readPrefixed()
                _ = (lists.read(UInt64.self), lists.read(Int64.self), lists.read(Int64.self))
                continue
            }
            let counter = self.arena.make(profiles__v1__event_counter__init)
            counter.pointee.name = self.arena.string(lists.readPrefixed())
            counter.pointee.count = lists.read()
            counter.pointee.first = self.timestamp(lists.read())
            counter.pointee.last = self.timestamp(lists.read())
            profile.pointee.event_counters[index] = counter
        }
    }
}
