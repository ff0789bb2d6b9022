import Bytes
import CMessages
import CProtobufC
import Profiles

// The codecs of DetachInstallation, MergeProfiles and UnmergeProfile.
//
// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid DetachInstallationRequest; what it borrows lies in the arena.
package struct DecodedDetach: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var installationID: UnsafeRawBufferPointer
}

/// A valid MergeProfilesRequest; what it borrows lies in the arena.
package struct DecodedMerge: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var loser: IdentifierView
    package var survivor: IdentifierView
    package var allowsIdentified: Bool
    /// `nil`: any.
    package var expectedRevision: UInt64?
}

/// A valid UnmergeProfileRequest; what it borrows lies in the arena.
package struct DecodedUnmerge: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// `nil`: no server gives such an id.
    package var merge: ProfileID?
}

extension MessageDecoder {
    package func decodeDetach(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedDetach> {
        self.decode(message, as: WireSchema.shared.detachInstallationRequest) { request in
            self.checkProject(request.pointee.project)
            let id = ValuePacker.text(request.pointee.installation_id)
            if let error = TextRules.identifierError(id) {
                self.packer.add(error, at: "installation_id")
            }
            return DecodedDetach(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"), installationID: id)
        }
    }

    package func decodeMerge(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedMerge> {
        self.decode(message, as: WireSchema.shared.mergeProfilesRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedMerge(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                loser: self.identifier(request.pointee.loser, "loser"),
                survivor: self.identifier(request.pointee.survivor, "survivor"),
                allowsIdentified: request.pointee.allow_identified != 0,
                expectedRevision: request.pointee.expected_revision?.pointee.value)
        }
    }

    private func identifier(
        _ identifier: UnsafeMutablePointer<Profiles__V1__Identifier>?, _ field: StaticString
    ) -> IdentifierView {
        self.packer.path.push(field)
        defer { self.packer.path.pop() }
        return self.identifierHere(identifier)
    }

    package func decodeUnmerge(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedUnmerge> {
        self.decode(message, as: WireSchema.shared.unmergeProfileRequest) { request in
            self.checkProject(request.pointee.project)
            let id = ValuePacker.text(request.pointee.merge_id)
            if id.isEmpty { self.packer.add("missing", at: "merge_id") }
            return DecodedUnmerge(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                merge: ProfileID(text: id))
        }
    }
}

extension MessageEncoder {
    /// Appends the DetachInstallationResponse of a result that was carried out.
    package func encodeDetachInstallationResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) {
        guard let result = DetachResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__detach_installation_response__init)
        response.pointee.profile_id = self.profileIDText(result.profileID)
        response.pointee.revision = result.revision
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        response.pointee.former_profile_id = self.profileIDText(result.formerProfileID)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the MergeProfilesResponse of a result that was carried out.
    ///
    /// - Parameter image: The survivor as it is now; `nil`: it is gone.
    package func encodeMergeProfilesResponse(
        _ header: ResultHeader, body: inout ByteReader, image: ProfileImage?,
        into output: inout ByteBuffer
    ) {
        guard let result = IdentifyResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__merge_profiles_response__init)
        if let image { response.pointee.profile = self.profile(image, mask: .standard) }
        if result.mergeID != ProfileID(high: 0, low: 0) {
            response.pointee.merge_id = self.profileIDText(result.mergeID)
        }
        response.pointee.outcome = Profiles__V1__Outcome(rawValue: UInt32(result.outcome.rawValue))
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        // No patch, and no stale names of one.
        _ = body.readVarint()
        let warnings = self.warnings(&body)
        (response.pointee.n_warnings, response.pointee.warnings) = (warnings.count, warnings.list)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the UnmergeProfileResponse of a result that was carried out.
    ///
    /// - Parameters:
    ///   - image: The survivor as it is now; `nil`: it is gone.
    ///   - restored: The other one.
    package func encodeUnmergeProfileResponse(
        _ header: ResultHeader, body: inout ByteReader, image: ProfileImage?,
        restored: ProfileImage?, into output: inout ByteBuffer
    ) {
        guard UnmergeResultBody(from: &body) != nil else {
            preconditionFailure("a result of this process is whole")
        }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__unmerge_profile_response__init)
        if let image { response.pointee.profile = self.profile(image, mask: .standard) }
        if let restored { response.pointee.restored = self.profile(restored, mask: .standard) }
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        let warnings = self.warnings(&body)
        (response.pointee.n_warnings, response.pointee.warnings) = (warnings.count, warnings.list)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
