import Bytes
import GRPCTransport
import Messages
import Profiles

// Reads of more than one profile at one revision. They are answered from the store and never wait for the log.
extension ServiceLoop {
    /// The project of a read; `nil`: the call was refused, because there is none or because it asks for what is not applied yet.
    private func project(
        _ name: UnsafeRawBufferPointer, minLSN: UInt64, of call: RPCCall, in partition: Partition
    ) -> ProjectID? {
        guard let project = partition.store.findProject(name) else {
            self.refuse(call.token, .projectNotFound)
            return nil
        }
        let applied = partition.store.appliedLSN
        guard minLSN <= applied else {
            let context = ErrorContext(metadata: [("actual", String(applied))], retrySeconds: 0)
            self.transport.finish(call.token, with: Self.status(of: .lsnNotReached, context))
            return nil
        }
        return project
    }

    func listEvents(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeListEvents(message), of: call) { request in
            guard let project = self.project(request.project, minLSN: request.minLSN, of: call, in: partition)
            else { return }
            var position: EventPosition?
            if !request.pageToken.isEmpty {
                position = partition.store.verifyPage(
                    request.pageToken, project: project, identifier: request.identifier, query: request.query)
                guard position != nil else { return self.refusePageToken(call) }
            }
            self.listEvents(request, project, after: position, of: call, in: partition)
        }
    }

    private func listEvents(
        _ request: DecodedListEvents, _ project: ProjectID, after position: EventPosition?, of call: RPCCall,
        in partition: Partition
    ) {
        self.image.removeAll()
        let page = partition.store.listEvents(
            project: project, identifier: request.identifier, query: request.query, after: position,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard let page else { return self.refuse(call.token, .profileNotFound) }
        var token = ByteBuffer(capacity: 128)
        if let next = page.next {
            partition.store.appendPageToken(
                project: project, identifier: request.identifier, query: request.query, position: next, to: &token)
        }
        self.answer.removeAll()
        self.decoder.encodeListEventsResponse(
            page, images: self.image.bytes, of: request, nextPageToken: token.bytes, into: &self.answer)
        self.transport.respond(to: call.token, message: self.answer.bytes)
    }
}
