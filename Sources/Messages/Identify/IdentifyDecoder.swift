import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

extension MessageDecoder {
    /// Decodes and validates an IdentifyRequest.
    ///
    /// - Complexity: O(bytes of the message), and a sort of the patch's names.
    package func decodeIdentify(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWrite> {
        self.decode(
            message, as: WireSchema.shared.identifyRequest,
            itemCount: { Self.itemCount(of: $0.pointee.attributes) },
            validate: { request in
                self.beginPayload()
                self.pack(request.pointee)
                return DecodedWrite(
                    project: ValuePacker.text(request.pointee.project), kind: .identify,
                    operations: 1,
                    itemCount: Self.itemCount(of: request.pointee.attributes))
            })
    }

    /// Names in a patch: the items of the accounting.
    static func itemCount(of patch: UnsafeMutablePointer<Profiles__V1__AttributePatch>?) -> Int {
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

    /// Packs the payload of an Identify; violations are noted below the packer's path.
    func pack(_ request: Profiles__V1__IdentifyRequest) {
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
        let expectedRevision = self.expectedRevision(request.expected_revision)
        if expectedRevision != nil { flags.insert(.hasExpectedRevision) }
        if self.imported != nil { flags.insert(.historical) }
        self.markProject()
        IdentifyHeader(
            project: .unresolved, flags: flags, platform: source.platform,
            installationID: installationID, customID: customID,
            requestID: requestID, sourceName: source.name, occurredAt: occurredAt ?? 0,
            sentAt: sentAt ?? 0,
            expectedRevision: expectedRevision ?? 0
        ).write(into: &self.payload)
        self.packer.pack(patch: request.attributes, into: &self.payload)
    }
}
