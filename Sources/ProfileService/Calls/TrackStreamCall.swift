import GRPCTransport
import Messages

/// An open TrackStream: each request becomes a command, and the responses leave in the order of the
/// requests.
final class TrackStreamCall: LiveCall {
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let requests: OrderedRequests
    /// The request that waits for headroom in the log, serialised; at most one, as the stream is
    /// paused meanwhile.
    private var postponed: [UInt8] = []

    var token: CallToken { self.requests.token }
    var orderedRequests: OrderedRequests? { self.requests }

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.requests = OrderedRequests(loop, token)
    }

    func receive(_ message: UnsafeRawBufferPointer) {
        if !self.take(message) {
            self.postponed = Array(message)
            self.requests.machine.postpone()
            self.loop.continuing.add(self.token)
        }
        self.requests.advance()
    }

    /// Tries the postponed request again.
    func proceed() -> CallProgress {
        // The stream may have been told to end meanwhile, which drops the request.
        guard self.requests.machine.isPostponed else { return .done }
        guard self.loop.hasToken(self.token) else { return .waiting }
        guard self.postponed.withUnsafeBytes({ self.take($0) }) else { return .waiting }
        self.postponed = []
        self.requests.machine.postponedIsTaken()
        self.requests.advance()
        return .done
    }

    func requestsEnded() { self.requests.end(with: RPCStatus(.ok, "")) }

    func becameWritable() {
        self.requests.sendReady()
        self.requests.advance()
    }

    func drain() { self.requests.stop(with: RPCStatus(.rejected(.draining))) }

    func cancelled() { self.requests.release() }

    func complete(_ ticket: UInt64, with response: UnsafeRawBufferPointer) {
        self.requests.reply(to: ticket, with: response)
        self.requests.advance()
    }

    /// Adds a request to the open batch, or responds with what is wrong with it.
    ///
    /// - Returns: Whether it is taken; false: the log is behind.
    private func take(_ message: UnsafeRawBufferPointer) -> Bool {
        switch self.loop.resolve(message, of: self.token, decode: { $0.decodeTrack($1) }) {
        case .request(let write, let context):
            let admission = self.loop.append(write, context, isOfStream: true)
            switch admission {
            case .rejected(.rateExceeded), .overQuota: return false
            case .added, .rejected, .blocked: break
            }
            guard let failure = admission.failure else {
                // The ticket is taken together with the headroom: a request that has to wait has
                // none.
                let last = self.loop.batch.slots.count - 1
                self.loop.batch.slots[last].sequence = write.sequence
                self.loop.batch.slots[last].ticket = self.requests.begin()
                return true
            }
            self.loop.count(rejected: write.itemCount, of: context.project)
            self.fail(failure, sequence: write.sequence)
        // A request for another project ends the stream, as it would end a unary call.
        case .rejected(.rejected(.scopeMissing, let context)):
            self.requests.stop(with: RPCStatus(.rejected(.scopeMissing, context)))
        // A request that is not protobuf included: the length before each one, not its content,
        // says where the next begins.
        case .rejected(let failure):
            self.fail(failure, sequence: MessageDecoder.sequence(ofTrack: message))
        }
        return true
    }

    /// Responds to a request that did not get to the log; it waits for its turn behind those that
    /// did.
    private func fail(_ failure: CallFailure, sequence: UInt64) {
        self.loop.response.removeAll()
        self.loop.encodeTrackFailure(failure, sequence: sequence)
        self.requests.reply(to: self.requests.begin(), with: self.loop.response.bytes)
    }
}
