import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`.

/// A valid ExportProfileRequest; what it borrows lies in the arena.
package struct DecodedExportProfile: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
}

/// A valid ExportProjectRequest; what it borrows lies in the arena.
package struct DecodedExportProject: DecodedRequest {
    /// What a project holds can be taken along until it goes.
    package static var isServedWhileDeleting: Bool { true }
    package var project: UnsafeRawBufferPointer
    /// Empty: from the beginning.
    package var pageToken: UnsafeRawBufferPointer
}

extension MessageDecoder {
    /// Decodes and validates an ExportProfileRequest.
    package func decodeExportProfile(
        _ message: UnsafeRawBufferPointer
    ) -> Decoded<DecodedExportProfile> {
        self.decode(message, as: WireSchema.shared.exportProfileRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedExportProfile(
                project: ValuePacker.text(request.pointee.project),
                identifier: self.identifier(request.pointee.identifier))
        }
    }

    /// Decodes and validates an ExportProjectRequest; whose token it has is the store's to say.
    package func decodeExportProject(
        _ message: UnsafeRawBufferPointer
    ) -> Decoded<DecodedExportProject> {
        self.decode(message, as: WireSchema.shared.exportProjectRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedExportProject(
                project: ValuePacker.text(request.pointee.project),
                pageToken: ValuePacker.text(request.pointee.page_token))
        }
    }
}
