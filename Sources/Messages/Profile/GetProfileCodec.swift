import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A decoded and valid GetProfileRequest; the identifier lies in the arena until the decoder is
/// used again.
package struct DecodedGetProfile: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    package var mask: ReadMask
    package var minLSN: UInt64
}

extension MessageDecoder {
    /// Decodes and validates a GetProfileRequest.
    package func decodeGetProfile(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedGetProfile> {
        self.decode(message, as: WireSchema.shared.getProfileRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedGetProfile(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier),
                mask: self.mask(
                    request.pointee.read_mask, withMetadata: request.pointee.metadata != 0),
                minLSN: request.pointee.min_lsn)
        }
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
}

extension MessageEncoder {
    /// Appends the GetProfileResponse of a profile that was found.
    ///
    /// - Parameters:
    ///   - isRedirected: The identifier asked for is an alias: it is shown in `redirected_from`.
    ///   - appliedLSN: The response includes every write up to this lsn.
    package func encodeGetProfileResponse(
        _ image: ProfileImage, of request: DecodedGetProfile, isRedirected: Bool,
        appliedLSN: UInt64,
        into output: inout ByteBuffer
    ) {
        Self.writeGetProfileResponse(
            image, mask: request.mask, redirectedFrom: isRedirected ? request.identifier : nil,
            appliedLSN: appliedLSN, into: &output)
    }

    /// Appends the GetProfileResponse that shows everything of a profile, the metadata of
    /// attributes included.
    package func encodeWholeProfile(
        _ image: ProfileImage, appliedLSN: UInt64, into output: inout ByteBuffer
    ) {
        Self.writeGetProfileResponse(
            image, mask: ReadMask.standard.union(.attributeMetadata), redirectedFrom: nil,
            appliedLSN: appliedLSN, into: &output)
    }

    /// A profile as a C message, inside of a response that protobuf-c packs.
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
