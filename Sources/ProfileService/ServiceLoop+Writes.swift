import Bytes
import GRPCTransport
import Messages
import Profiles

// Writes whose record needs something of the store: a verified token, the hash of an address, the
// hashes of who is erased.
extension ServiceLoop {
    /// Adds a command whose token this directory made; any other is rejected before the log.
    func redeem(
        _ request: DecodedTokenRequest, _ kind: ConsentToken.Kind, as record: RecordKind,
        _ context: RequestContext
    ) {
        let store = context.partition.store
        var content = ByteBuffer(capacity: 128)
        guard var token = store.verify(request.token, kind, in: context.project, into: &content)
        else {
            return self.reject(context, .notAdmitted(.tokenInvalid), items: request.itemCount)
        }
        // A token outlives its person; what it says of an erased one need not enter the log again.
        if !store.isKnown(token) { token.forgetPerson() }
        self.submit(record, items: request.itemCount, context) {
            TokenCommand(
                project: token.project, requestID: request.requestID, token: token,
                evidence: request.evidence
            ).write(into: &$0)
        }
        // The token's topic is borrowed from the content up to here.
        content.removeAll()
    }

    /// Adds a command that carries the hash of the address, never the address.
    func suppress(
        _ request: DecodedSuppression, as record: RecordKind, _ context: RequestContext
    ) {
        let store = context.partition.store
        let address = store.addressHash(context.project, request.channel, request.address)
        let former = store.formerAddressHash(context.project, request.channel, request.address)
        self.submit(record, items: 0, context) {
            SuppressionCommand(
                project: context.project, reason: request.reason, address: address,
                formerAddress: former, requestID: request.requestID
            ).write(into: &$0)
        }
    }

    /// Adds an erasure. Its record carries hashes, so that it brings nothing back into the log.
    func eraseProfile(_ request: DecodedErase, _ context: RequestContext) {
        context.partition.store.withEraseCommand(
            context.project, request.identifier, requestID: request.requestID,
            expectedRevision: request.expectedRevision
        ) { command in
            self.submit(.erase, items: 0, context) { command.write(into: &$0) }
        }
    }

    // MARK: Repairs

    func detachInstallation(_ request: DecodedDetach, _ context: RequestContext) {
        self.submit(.detach, items: 0, context) {
            DetachCommand(
                project: context.project, requestID: request.requestID,
                installationID: request.installationID
            ).write(into: &$0)
        }
    }

    func mergeProfiles(_ request: DecodedMerge, _ context: RequestContext) {
        self.submit(.merge, items: 0, context) {
            MergeCommand(
                project: context.project, allowsIdentified: request.allowsIdentified,
                loser: request.loser, survivor: request.survivor, requestID: request.requestID,
                expectedRevision: request.expectedRevision
            ).write(into: &$0)
        }
    }

    func unmergeProfile(_ request: DecodedUnmerge, _ context: RequestContext) {
        guard let merge = request.merge else {
            return self.reject(context.token, .rejected(.mergeNotFound))
        }
        self.submit(.unmerge, items: 0, context) {
            UnmergeCommand(
                project: context.project, requestID: request.requestID, mergeID: merge
            ).write(into: &$0)
        }
    }
}
