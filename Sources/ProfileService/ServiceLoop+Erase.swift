import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Adds an erasure to the open batch, or refuses it. Its record carries hashes, so that it
    /// brings nothing back into the log.
    func eraseProfile(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition)
    {
        self.withMessage(self.decoder.decodeErase(message), of: call) { request in
            guard let project = partition.store.findProject(request.project) else {
                return self.reject(call.token, .projectNotFound)
            }
            partition.store.withEraseCommand(
                project, request.identifier, requestID: request.requestID,
                expectedRevision: request.expectedRevision
            ) { command in
                self.submit(call, project, items: 0, in: partition) { decoder, records in
                    decoder.writeErase(command, into: &records)
                    return Violations()
                }
            }
        }
    }

    /// Appends the answer of an erasure that was carried out.
    func encodeErase(_ header: ResultHeader, _ body: inout ByteReader) -> ItemOutcomes {
        self.decoder.encodeEraseProfileResponse(header, body: &body, into: &self.response)
        return ItemOutcomes()
    }

    /// The status of a call that names a blocked identifier.
    static func status(ofBlockedUntil until: Int64) -> RPCStatus {
        Self.status(of: .identifierErased, MessageDecoder.context(ofBlockedUntil: until))
    }
}
