import Bytes
import GRPCTransport
import Messages
import Profiles

// Reads that end within one turn of the loop. They respond from the store and never wait for the
// log.
extension ServiceLoop {
    /// Storage of the buffer for images that is kept after a read of many, in bytes.
    private static let imageBytesKept = 1 << 20

    func getProfile(_ request: DecodedGetProfile, _ context: RequestContext) {
        self.image.removeAll()
        let outcome = context.partition.store.read(
            project: context.project, identifier: request.identifier,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard case .found(let isRedirected) = outcome.finding else {
            return self.reject(context.token, .rejected(.profileNotFound))
        }
        guard let image = ProfileImage(self.image.bytes) else {
            preconditionFailure("an image of this process is whole")
        }
        self.transport.respond(to: context.token) {
            self.encoder.encodeGetProfileResponse(
                image, of: request, isRedirected: isRedirected, appliedLSN: outcome.appliedLSN,
                into: &$0)
        }
    }

    func batchGetProfiles(_ request: DecodedBatchGetProfiles, _ context: RequestContext) {
        self.image.removeAll()
        defer { self.forgetImages() }
        let images = context.partition.store.readMany(
            project: context.project, identifiers: request.identifiers,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard let images else { return self.reject(context.token, Self.responseTooLarge) }
        self.transport.respondOrReject(to: context.token) {
            self.encoder.encodeBatchGetProfilesResponse(
                images, in: self.image.bytes, of: request, into: &$0)
                ? nil : RPCStatus(Self.responseTooLarge)
        }
    }

    func lookupProfiles(_ request: DecodedLookupProfiles, _ context: RequestContext) {
        self.image.removeAll()
        defer { self.forgetImages() }
        let images = context.partition.store.lookupProfiles(
            project: context.project, channel: request.channel, address: request.address,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard let images else {
            return self.reject(
                context.token,
                .limitExceeded("lookup_profiles_max", maximum: Store.lookupProfilesMax))
        }
        self.transport.respondOrReject(to: context.token) {
            self.encoder.encodeLookupProfilesResponse(
                images, in: self.image.bytes, mask: request.mask, into: &$0)
                ? nil : RPCStatus(Self.responseTooLarge)
        }
    }

    /// A response that would be larger than one may be: nothing is cut silently.
    private static var responseTooLarge: CallFailure {
        .limitExceeded("response_bytes_max", maximum: MessageDecoder.responseBytesMax)
    }

    /// Gives the memory of many images back.
    func forgetImages() {
        self.image.removeAll()
        self.image.shrink(toCapacity: Self.imageBytesKept)
    }

    // MARK: Consent

    /// The profile that a request is about, and up to where it is known; `nil`: the call was
    /// rejected.
    func readImage(
        _ identifier: IdentifierView, _ context: RequestContext
    ) -> (image: ProfileImage, appliedLSN: UInt64)? {
        self.image.removeAll()
        let outcome = context.partition.store.read(
            project: context.project, identifier: identifier,
            now: self.transport.nowWallMicroseconds, into: &self.image)
        guard case .found = outcome.finding, let image = ProfileImage(self.image.bytes) else {
            self.reject(context.token, .rejected(.profileNotFound))
            return nil
        }
        return (image, outcome.appliedLSN)
    }

    func checkSendable(_ request: DecodedChannelRequest, _ context: RequestContext) {
        guard let read = self.readImage(request.identifier, context) else { return }
        let verdict = context.partition.store.checkSendable(
            read.image, project: context.project, channel: request.channel, topic: request.topic,
            messageClass: request.messageClass)
        self.transport.respond(to: context.token) {
            self.encoder.encodeCheckSendableResponse(
                isSendable: verdict.isSendable, reason: verdict.reason, appliedLSN: read.appliedLSN,
                into: &$0)
        }
    }

    func createUnsubscribeToken(_ request: DecodedChannelRequest, _ context: RequestContext) {
        guard let read = self.readImage(request.identifier, context) else { return }
        var text = ByteBuffer(capacity: 256)
        context.partition.store.appendText(
            of: ConsentToken(
                kind: .unsubscribe, project: context.project, profileID: read.image.profileID,
                channel: request.channel, topic: request.topic),
            to: &text)
        self.transport.respond(to: context.token) {
            self.encoder.encodeCreateUnsubscribeTokenResponse(token: text.bytes, into: &$0)
        }
    }
}
