import Bytes
import CMessages
import Profiles

/// A decoded IdentifyRequest, in the arena; valid until the decoder is used again.
package struct DecodedIdentify {
    let request: UnsafeMutablePointer<Profiles__V1__IdentifyRequest>

    /// The project's name, as sent.
    package var project: UnsafeRawBufferPointer { ValuePacker.text(self.request.pointee.project) }

    /// Names in the patch: the items of the accounting.
    package var itemCount: Int { Self.itemCount(self.request.pointee.attributes) }

    static func itemCount(_ patch: UnsafeMutablePointer<Profiles__V1__AttributePatch>?) -> Int {
        guard let patch = patch?.pointee else { return 0 }
        var count = patch.n_set + patch.n_delete_ + patch.n_add + patch.n_remove
        if let native = patch.native?.pointee {
            for value in [
                native.email_address, native.phone_number, native.language, native.region,
                native.timezone,
            ]
            where value != nil {
                count += 1
            }
        }
        return count
    }
}

extension MessageDecoder {
    /// Decodes an IdentifyRequest, bounded and checked on the wire, but not yet validated.
    package func decodeIdentify(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedIdentify> {
        self.decode(message, root: WireSchema.shared.identifyRequest) { allocator, count, bytes in
            profiles__v1__identify_request__unpack(allocator, count, bytes).map {
                DecodedIdentify(request: $0)
            }
        }
    }

    /// Validates an Identify and appends its record; a call with violations leaves `buffer` as it
    /// was.
    ///
    /// - Parameter project: `nil`: the project is unknown; its name may be no name at all.
    /// - Returns: The violations, none if the record was written.
    /// - Complexity: O(bytes of the message), and a sort of the patch's names.
    package func writeIdentify(
        _ identify: DecodedIdentify, project: ProjectID?, into buffer: inout ByteBuffer
    ) -> Violations {
        self.packer.path.removeAll()
        self.packer.violations.removeAll()
        let start = beginRecord(.identify, in: &buffer)
        self.write(
            identify.request.pointee, project: project ?? ProjectID(rawValue: 0),
            isHistorical: false, into: &buffer)
        guard self.packer.violations.isEmpty else {
            buffer.truncate(to: start)
            return self.packer.violations
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Violations()
    }

    /// Appends the payload of an Identify; violations are noted below the packer's path.
    func write(
        _ request: Profiles__V1__IdentifyRequest, project: ProjectID, isHistorical: Bool,
        into buffer: inout ByteBuffer
    ) {
        self.checkProject(request.project)
        let requestID = self.requestID(request.request_id)
        let source = self.source(request.source)
        let occurredAt = self.time(request.occurred_at, "occurred_at")
        let sentAt = self.time(request.sent_at, "sent_at")
        let installationID = ValuePacker.text(request.installation_id)
        if !installationID.isEmpty, let error = TextRules.identifierError(installationID) {
            self.packer.add(error, at: "installation_id")
        }
        var customID = UnsafeRawBufferPointer(start: nil, count: 0)
        var flags = IdentifyFlags()
        switch request.person_case {
        case PROFILES__V1__IDENTIFY_REQUEST__PERSON_CUSTOM_ID:
            customID = ValuePacker.text(request.custom_id)
            if let error = TextRules.identifierError(customID) {
                self.packer.add(error, at: "custom_id")
            }
        case PROFILES__V1__IDENTIFY_REQUEST__PERSON_LOGGED_OUT where request.logged_out != 0:
            flags.insert(.loggedOut)
            if installationID.isEmpty {
                self.packer.add("missing, a log-out is a device's", at: "installation_id")
            }
        default:
            if installationID.isEmpty {
                self.packer.add(
                    "missing, an installation_id or a custom_id is needed", at: "installation_id")
            }
        }
        if occurredAt != nil { flags.insert(.hasOccurredAt) }
        if sentAt != nil { flags.insert(.hasSentAt) }
        if request.expected_revision != nil { flags.insert(.hasExpectedRevision) }
        if isHistorical { flags.insert(.historical) }
        IdentifyHeader(
            project: project, flags: flags, platform: source.platform,
            installationID: installationID, customID: customID,
            requestID: requestID, sourceName: source.name, occurredAt: occurredAt ?? 0,
            sentAt: sentAt ?? 0,
            expectedRevision: request.expected_revision?.pointee.value ?? 0
        ).write(into: &buffer)
        self.packer.pack(patch: request.attributes, into: &buffer)
    }
}
