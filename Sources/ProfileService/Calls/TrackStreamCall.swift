import GRPCTransport
import Messages

/// An open TrackStream: each request becomes a command, and the responses leave in the order of the
/// requests.
final class TrackStreamCall: LiveCall {
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let requests: OrderedRequests
    /// Whether the call is in `ServiceLoop.continuing`.
    private var isContinuing = false

    var token: CallToken { self.requests.token }
    var orderedRequests: OrderedRequests? { self.requests }

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.requests = OrderedRequests(loop, token)
    }

    func receive(_ message: UnsafeRawBufferPointer) {
        if !self.take(message) {
            self.requests.postpone(message)
            if !self.isContinuing { self.loop.continuing.add(self.token) }
            self.isContinuing = true
            self.loop.shedPostponedRequests()
        }
        self.requests.advance()
    }

    /// Tries the postponed request again.
    func proceed() -> CallProgress {
        // The stream may have been told to end meanwhile, which drops the request.
        guard self.requests.machine.isPostponed else {
            self.isContinuing = false
            return .done
        }
        // Asked first, since what follows decodes the request.
        guard self.loop.hasToken(self.token),
            self.loop.partition?.pipeline.hasHeadroomForStreams == true,
            self.requests.postponed.withUnsafeBytes({ self.take($0) })
        else { return .waiting }
        self.isContinuing = false
        self.requests.dropPostponed()
        self.requests.advance()
        return .done
    }

    func rejectPostponed() {
        let postponed = self.requests.postponed
        self.requests.dropPostponed()
        postponed.withUnsafeBytes { message in
            if case .request(let write, let context) = self.loop.resolve(
                message, of: self.token, decode: { $0.decodeTrack($1) })
            {
                self.loop.count(rejected: write.itemCount, of: context.project)
            }
            self.fail(
                .rejected(.rateExceeded), sequence: MessageDecoder.sequence(ofTrack: message))
        }
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
