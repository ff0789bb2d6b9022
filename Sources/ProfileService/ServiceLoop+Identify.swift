import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Adds an Identify to the open batch, or refuses it.
    func identify(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeIdentify(message), of: call) { identify in
            let project = partition.store.findProject(identify.project)
            self.submit(call, project, items: identify.itemCount, in: partition) {
                decoder, records in
                decoder.writeIdentify(identify, project: project, into: &records)
            }
        }
    }

    /// Appends the answer of an Identify that was carried out, with the profile as it is now.
    func encodeIdentify(_ header: ResultHeader, _ body: inout ByteReader) -> ItemOutcomes {
        let image = self.readImage(ofResult: body)
        return self.decoder.encodeIdentifyResponse(
            header, body: &body, image: image, into: &self.response)
    }

    /// The profile that a result begins with the id of, as it is now; valid until the next read.
    func readImage(ofResult body: ByteReader) -> ProfileImage? {
        var body = body
        let id = body.read(count: ProfileID.binaryBytes)
        guard let partition = self.partition else { return nil }
        self.image.removeAll()
        _ = partition.store.read(
            project: partition.store.defaultProject,
            identifier: IdentifierView(kind: .profileID, bytes: id),
            now: self.transport.nowWallMicroseconds, into: &self.image)
        return ProfileImage(self.image.bytes)
    }
}
