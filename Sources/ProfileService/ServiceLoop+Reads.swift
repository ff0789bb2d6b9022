import Bytes
import GRPCTransport
import Messages
import Profiles

// Reads of more than one profile at one revision. They are answered from the store and never wait
// for the log.
extension ServiceLoop {
    /// Of the buffer for images, after a read of many.
    private static let imageBytesKept = 1 << 20

    func listEvents(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeListEvents(message), of: call) { request in
            guard
                let project = self.project(
                    request.project, minLSN: request.minLSN, of: call, in: partition)
            else { return }
            var position: EventPosition?
            if !request.pageToken.isEmpty {
                position = partition.store.verifyPage(
                    request.pageToken, project: project, identifier: request.identifier,
                    query: request.query)
                guard position != nil else { return self.rejectPageToken(call) }
            }
            self.listEvents(request, project, after: position, of: call, in: partition)
        }
    }

    private func listEvents(
        _ request: DecodedListEvents, _ project: ProjectID, after position: EventPosition?,
        of call: RPCCall,
        in partition: Partition
    ) {
        self.image.removeAll()
        let page = partition.store.listEvents(
            project: project, identifier: request.identifier, query: request.query, after: position,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard let page else { return self.reject(call.token, .profileNotFound) }
        var token = ByteBuffer(capacity: 128)
        if let next = page.next {
            partition.store.appendPageToken(
                project: project, identifier: request.identifier, query: request.query,
                position: next, to: &token)
        }
        self.response.removeAll()
        self.decoder.encodeListEventsResponse(
            page, images: self.image.bytes, of: request, nextPageToken: token.bytes,
            into: &self.response)
        self.transport.respond(to: call.token, message: self.response.bytes)
    }

    func batchGetProfiles(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeBatchGetProfiles(message), of: call) { request in
            guard
                let project = self.project(
                    request.project, minLSN: request.minLSN, of: call, in: partition)
            else { return }
            self.image.removeAll()
            self.response.removeAll()
            defer { self.forgetImages() }
            let images = partition.store.readMany(
                project: project, identifiers: request.identifiers,
                now: self.transport.nowWallMicroseconds, into: &self.image)
            guard let images,
                self.decoder.encodeBatchGetProfilesResponse(
                    images, in: self.image.bytes, of: request, into: &self.response)
            else {
                return self.rejectTooMuch(
                    call, limit: "response_bytes", maximum: MessageDecoder.responseBytesMax)
            }
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func lookupProfiles(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeLookupProfiles(message), of: call) { request in
            guard
                let project = self.project(
                    request.project, minLSN: request.minLSN, of: call, in: partition)
            else { return }
            self.image.removeAll()
            self.response.removeAll()
            defer { self.forgetImages() }
            let images = partition.store.lookupProfiles(
                project: project, channel: request.channel, address: request.address,
                now: self.transport.nowWallMicroseconds, into: &self.image)
            guard let images else {
                return self.rejectTooMuch(
                    call, limit: "lookup_profiles", maximum: Store.lookupProfilesMax)
            }
            guard
                self.decoder.encodeLookupProfilesResponse(
                    images, in: self.image.bytes, mask: request.mask, into: &self.response)
            else {
                return self.rejectTooMuch(
                    call, limit: "response_bytes", maximum: MessageDecoder.responseBytesMax)
            }
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    /// Gives the memory of many images back.
    private func forgetImages() {
        self.image.removeAll()
        self.image.shrink(toCapacity: Self.imageBytesKept)
    }

    /// Refuses an answer that would be larger than one may be: nothing is cut silently.
    private func rejectTooMuch(_ call: RPCCall, limit: String, maximum: Int) {
        let context = ErrorContext(metadata: [("limit", limit), ("maximum", String(maximum))])
        self.transport.finish(call.token, with: Self.status(of: .limitExceeded, context))
    }
}
