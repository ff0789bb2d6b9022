import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Answers a GetProfile from the store; it never waits for the log.
    func getProfile(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        switch self.decoder.decodeGetProfile(message) {
        case .message(let request): self.read(request, of: call, in: partition)
        case .invalid(let violations): self.refuse(call.token, violations: violations)
        case .malformed(let found): self.refuseMalformed(call.token, found)
        case .tooLarge: self.refuse(call.token, .memoryExhausted)
        }
    }

    private func read(_ request: DecodedGetProfile, of call: RPCCall, in partition: Partition) {
        guard let project = partition.store.findProject(request.project) else {
            return self.refuse(call.token, .projectNotFound)
        }
        let applied = partition.store.appliedLSN
        guard request.minLSN <= applied else {
            let context = ErrorContext(metadata: [("actual", String(applied))], retrySeconds: 0)
            return self.transport.finish(call.token, with: Self.status(of: .lsnNotReached, context))
        }
        self.image.removeAll()
        let outcome = partition.store.read(
            project: project, identifier: request.identifier, now: self.transport.nowWallMicroseconds,
            into: &self.image)
        guard case .found(let isRedirected) = outcome.finding else {
            return self.refuse(call.token, .profileNotFound)
        }
        guard let image = ProfileImage(self.image.bytes) else {
            preconditionFailure("an image of this process is whole")
        }
        self.answer.removeAll()
        self.decoder.encodeGetProfileResponse(
            image, of: request, isRedirected: isRedirected, appliedLSN: outcome.appliedLSN, into: &self.answer)
        self.transport.respond(to: call.token, message: self.answer.bytes)
    }
}
