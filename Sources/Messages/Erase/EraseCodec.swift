import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid EraseProfileRequest; what it borrows lies in the arena.
package struct DecodedErase: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    package var expectedRevision: UInt64?
}

extension MessageDecoder {
    package func decodeErase(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedErase> {
        self.decode(message, as: WireSchema.shared.eraseProfileRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedErase(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                identifier: self.identifier(request.pointee.identifier),
                expectedRevision: request.pointee.expected_revision?.pointee.value)
        }
    }
}

extension MessageEncoder {

    /// Appends the EraseProfileResponse of a result that was carried out.
    package func encodeEraseProfileResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) {
        guard let result = EraseResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__erase_profile_response__init)
        response.pointee.existed = result.existed ? 1 : 0
        response.pointee.log_purge_due = self.timestamp(result.logPurgeDue)
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.flags.contains(.replayed) ? 1 : 0
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
