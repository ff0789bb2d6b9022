import GRPCTransport
import Messages

/// An open stream of server reflection; v1 and v1alpha have the same messages.
final class ReflectionCall: LiveCall {
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let requests: OrderedRequests

    var token: CallToken { self.requests.token }
    var orderedRequests: OrderedRequests? { self.requests }

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.requests = OrderedRequests(loop, token)
    }

    func receive(_ message: UnsafeRawBufferPointer) {
        var request: DecodedReflection?
        switch self.loop.resolve(
            message, of: self.token, decode: { $0.decoder.decodeReflection($1) })
        {
        case .request(let valid, _): request = valid
        case .rejected(.malformed(let found)):
            return self.requests.stop(with: RPCStatus(.malformed(found)))
        // An invalid request is an error inside of the response, and the stream goes on (R3).
        case .rejected: break
        }
        self.loop.response.removeAll()
        self.loop.encoder.encodeReflectionResponse(
            to: message, request, services: RPCTable.services, into: &self.loop.response)
        self.requests.reply(to: self.requests.begin(), with: self.loop.response.bytes)
        self.requests.advance()
    }

    func requestsEnded() { self.requests.end(with: RPCStatus(.ok, "")) }

    func requestsFailed(with status: RPCStatus) -> Bool {
        self.requests.stop(with: status)
        return true
    }

    func stop(with failure: CallFailure) -> Bool {
        self.requests.stop(with: RPCStatus(failure))
        return true
    }

    func becameWritable() {
        self.requests.sendReady()
        self.requests.advance()
    }

    func drain() { self.requests.stop(with: RPCStatus(.rejected(.draining))) }

    func cancelled() { self.requests.release() }
}
