import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Answers a GetProfile from the store; it never waits for the log.
    func getProfile(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeGetProfile(message), of: call) { request in
            self.read(request, of: call, in: partition)
        }
    }

    private func read(_ request: DecodedGetProfile, of call: RPCCall, in partition: Partition) {
        guard
            let project = self.project(
                request.project, minLSN: request.minLSN, of: call, in: partition)
        else { return }
        self.image.removeAll()
        let outcome = partition.store.read(
            project: project, identifier: request.identifier,
            now: self.transport.nowWallMicroseconds,
            into: &self.image)
        guard case .found(let isRedirected) = outcome.finding else {
            return self.reject(call.token, .profileNotFound)
        }
        guard let image = ProfileImage(self.image.bytes) else {
            preconditionFailure("an image of this process is whole")
        }
        self.response.removeAll()
        self.decoder.encodeGetProfileResponse(
            image, of: request, isRedirected: isRedirected, appliedLSN: outcome.appliedLSN,
            into: &self.response)
        self.transport.respond(to: call.token, message: self.response.bytes)
    }
}
