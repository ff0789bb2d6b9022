import Bytes
import GRPCTransport
import Messages
import Profiles

// The RPCs about consent. Writes go into the batch; reads are answered from the store and never
// wait for the log.
extension ServiceLoop {
    // MARK: Writes

    func updateSubscription(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeUpdateSubscription(message), of: call) { request in
            let project = partition.store.findProject(request.project)
            let count = request.changeCount
            self.submit(call, project, items: count, in: partition) { decoder, records in
                decoder.writeUpdateSubscription(request, project: project, into: &records)
            }
        }
    }

    func confirmSubscription(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeConfirmSubscription(message), of: call, items: 1) {
            request in
            self.submit(request, .confirmation, .confirmSubscription, of: call, in: partition)
        }
    }

    func redeemUnsubscribeToken(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeRedeemUnsubscribeToken(message), of: call, items: 1) {
            request in
            self.submit(request, .unsubscribe, .redeemUnsubscribe, of: call, in: partition)
        }
    }

    /// Adds a command whose token is one of ours; any other is refused before the log.
    private func submit(
        _ request: DecodedTokenRequest, _ kind: ConsentToken.Kind, _ record: RecordKind,
        of call: RPCCall,
        in partition: Partition
    ) {
        guard let project = partition.store.findProject(request.project) else {
            self.accounting.add(rejected: 1)
            return self.reject(call.token, .projectNotFound)
        }
        var content = ByteBuffer(capacity: 128)
        guard var token = partition.store.verify(request.token, kind, in: project, into: &content)
        else {
            self.accounting.add(rejected: 1)
            return self.reject(call.token, .tokenInvalid)
        }
        // A token outlives its person; what it says of an erased one need not enter the log again.
        if !partition.store.isKnown(token) { token.forgetPerson() }
        self.submit(call, project, items: 1, in: partition) { decoder, records in
            decoder.writeTokenCommand(record, request, token, into: &records)
            return Violations()
        }
        // The token's topic is borrowed from the content up to here.
        content.removeAll()
    }

    func addSuppression(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeAddSuppression(message), of: call) { request in
            self.submit(request, .addSuppression, of: call, in: partition)
        }
    }

    func removeSuppression(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeRemoveSuppression(message), of: call) { request in
            self.submit(request, .removeSuppression, of: call, in: partition)
        }
    }

    /// Adds a command that carries the hash of the address, never the address.
    private func submit(
        _ request: DecodedSuppression, _ record: RecordKind, of call: RPCCall,
        in partition: Partition
    ) {
        guard let project = partition.store.findProject(request.project) else {
            return self.reject(call.token, .projectNotFound)
        }
        let address = partition.store.addressHash(project, request.channel, request.address)
        self.submit(call, project, items: 0, in: partition) { decoder, records in
            decoder.writeSuppression(
                record, request, project: project, address: address, into: &records)
            return Violations()
        }
    }

    /// Appends the answer of a write of consent that was carried out.
    func encodeConsent(_ header: ResultHeader, _ body: inout ByteReader) -> ItemOutcomes {
        switch header.kind {
        case .confirmSubscription:
            self.decoder.encodeConfirmSubscriptionResponse(
                header, body: &body, into: &self.response)
        case .redeemUnsubscribe:
            self.decoder.encodeRedeemUnsubscribeTokenResponse(
                header, body: &body, into: &self.response)
        case .addSuppression, .removeSuppression:
            self.decoder.encodeSuppressionResponse(header, body: &body, into: &self.response)
        default:
            self.decoder.encodeUpdateSubscriptionResponse(header, body: &body, into: &self.response)
        }
    }

    // MARK: Reads

    /// The profile that a question is about, and up to where it is known; `nil`: the call was
    /// refused.
    private func readImage(
        _ projectName: UnsafeRawBufferPointer, _ identifier: IdentifierView, minLSN: UInt64,
        of call: RPCCall,
        in partition: Partition
    ) -> (image: ProfileImage, project: ProjectID, appliedLSN: UInt64)? {
        guard let project = self.project(projectName, minLSN: minLSN, of: call, in: partition)
        else { return nil }
        self.image.removeAll()
        let outcome = partition.store.read(
            project: project, identifier: identifier, now: self.transport.nowWallMicroseconds,
            into: &self.image)
        guard case .found = outcome.finding, let image = ProfileImage(self.image.bytes) else {
            self.reject(call.token, .profileNotFound)
            return nil
        }
        return (image, project, outcome.appliedLSN)
    }

    func checkSendable(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition)
    {
        self.withMessage(self.decoder.decodeCheckSendable(message), of: call) { request in
            guard
                let read = self.readImage(
                    request.project, request.identifier, minLSN: request.minLSN, of: call,
                    in: partition)
            else { return }
            let verdict = partition.store.checkSendable(
                read.image, project: read.project, channel: request.channel, topic: request.topic,
                messageClass: request.messageClass)
            self.response.removeAll()
            self.decoder.encodeCheckSendableResponse(
                isSendable: verdict.isSendable, reason: verdict.reason, appliedLSN: read.appliedLSN,
                into: &self.response)
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func createUnsubscribeToken(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeCreateUnsubscribeToken(message), of: call) { request in
            guard
                let read = self.readImage(
                    request.project, request.identifier, minLSN: 0, of: call, in: partition)
            else { return }
            var token = ByteBuffer(capacity: 256)
            partition.store.appendText(
                of: ConsentToken(
                    kind: .unsubscribe, project: read.project, profileID: read.image.profileID,
                    channel: request.channel,
                    topic: request.topic),
                to: &token)
            self.response.removeAll()
            self.decoder.encodeCreateUnsubscribeTokenResponse(
                token: token.bytes, into: &self.response)
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func verifyConsentLedger(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeVerifyConsentLedger(message), of: call) { request in
            guard
                let read = self.readImage(
                    request.project, request.identifier, minLSN: 0, of: call, in: partition)
            else { return }
            let verified = partition.store.withHistory(of: read.image, project: read.project) {
                $0.verify()
            }
            self.response.removeAll()
            self.decoder.encodeVerifyConsentLedgerResponse(verified, into: &self.response)
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func listConsentHistory(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeListConsentHistory(message), of: call) { request in
            guard
                let read = self.readImage(
                    request.project, request.identifier, minLSN: 0, of: call, in: partition)
            else { return }
            var position = HistoryPosition(
                project: read.project, profileID: read.image.profileID, lsn: 0, number: 0)
            if !request.pageToken.isEmpty {
                guard let given = partition.store.verifyPage(request.pageToken, in: read.project),
                    self.isOfPerson(given.profileID, read.image)
                else { return self.rejectPageToken(call) }
                position = given
            }
            partition.store.withHistory(of: read.image, project: read.project) { history in
                self.response(
                    history.entries, from: position, request.pageSize, of: call, in: partition)
            }
        }
    }

    /// Whether a page token was made for this person, under whatever profile id.
    private func isOfPerson(_ id: ProfileID, _ image: ProfileImage) -> Bool {
        var isOne = image.profileID == id
        image.forEachProfileAlias { isOne = isOne || $0 == id }
        return isOne
    }

    func rejectPageToken(_ call: RPCCall) {
        var violations = Violations()
        violations.add(Violation(path: "page_token", description: "not a token of this listing"))
        self.reject(call.token, violations: violations)
    }

    /// Bytes of entries that end a page: answers stay far below the 4 MiB that clients take.
    private static let historyPageBytesMax = 1 << 20

    /// Answers the page of `entries` that follows a position.
    private func response(
        _ entries: [ListedEntry], from position: HistoryPosition, _ pageSize: Int, of call: RPCCall,
        in partition: Partition
    ) {
        var start = entries.firstIndex { $0.lsn >= position.lsn } ?? entries.count
        var left = position.number
        while left > 0, start < entries.count, entries[start].lsn == position.lsn {
            start += 1
            left -= 1
        }
        // At least one entry, then as many as the page and its bytes allow.
        var end = start
        var bytes = 0
        while end < min(entries.count, start + pageSize), bytes < Self.historyPageBytesMax {
            bytes += entries[end].entry.count
            end += 1
        }
        let page = entries[start ..< end]
        var token = ByteBuffer(capacity: 128)
        if page.endIndex < entries.count, let last = page.last {
            var next = position
            next.lsn = last.lsn
            next.number = UInt32(
                entries[..<page.endIndex].reversed().prefix { $0.lsn == last.lsn }.count)
            partition.store.appendText(of: next, to: &token)
        }
        self.response.removeAll()
        self.decoder.encodeListConsentHistoryResponse(
            page, nextPageToken: token.bytes, into: &self.response)
        self.transport.respond(to: call.token, message: self.response.bytes)
    }
}
