import Bytes
import GRPCTransport
import Messages

/// Where the messages of a response stream come from.
protocol PullSource: AnyObject {
    /// Takes a request; of a call that has one only, the first.
    func receive(_ message: UnsafeRawBufferPointer) -> PullStart
    /// The client has sent its last request.
    func requestsEnded()
    /// What can be sent now. `.message` is followed by `write`, unless the client's stream is full.
    var state: PullState { get }
    /// Appends the next message.
    func write(into output: inout ByteBuffer)
    /// Takes in what another thread reports.
    func complete(_ event: OperatorReport.Event)
    /// The call ends before the source did.
    func abandoned()
    /// The server ends.
    ///
    /// - Returns: Whether the source ends soon by itself; else the call is ended at once.
    func drain() -> Bool
    /// The call has ended, whatever the reason.
    func ended()
}

extension PullSource {
    // A call that has one request began with it.
    func requestsEnded() {}
    func complete(_ event: OperatorReport.Event) {}
    func abandoned() {}
    func drain() -> Bool { false }
    func ended() {}
}

/// Whether a request of a response stream is taken.
enum PullStart {
    case begun
    case rejected(CallFailure)
}

/// What a source of a response stream has.
enum PullState {
    case message
    /// Nothing yet; `PullCall.pump` is called once there is.
    case waiting
    /// OK.
    case ended
    case failed(CallFailure)
}

/// A response stream that takes from its source as much as its client reads.
///
/// Nothing is produced for a client that does not read: backpressure reaches the source, which may
/// replace what was not sent by something newer.
final class PullCall: LiveCall {
    let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let source: any PullSource

    init(_ loop: ServiceLoop, _ token: CallToken, _ source: any PullSource) {
        self.loop = loop
        self.token = token
        self.source = source
    }

    func receive(_ message: UnsafeRawBufferPointer) {
        switch self.source.receive(message) {
        case .begun: self.pump()
        case .rejected(let failure): self.end(with: failure)
        }
    }

    func requestsEnded() {
        self.source.requestsEnded()
        self.pump()
    }

    func becameWritable() { self.pump() }

    func sourceIsReady() { self.pump() }

    func drain() {
        if self.source.drain() { return }
        self.source.abandoned()
        self.end(with: .rejected(.draining))
    }

    func cancelled() {
        self.source.abandoned()
        self.source.ended()
    }

    func complete(_ event: OperatorReport.Event) {
        self.source.complete(event)
        self.pump()
    }

    /// Sends what the source has, as far as there is headroom.
    func pump() {
        while true {
            switch self.source.state {
            case .waiting: return
            case .ended: return self.end(with: nil)
            case .failed(let failure): return self.end(with: failure)
            case .message:
                let outcome = self.loop.transport.send(to: self.token) {
                    self.source.write(into: &$0)
                }
                guard outcome == .sent else { return }
            }
        }
    }

    /// - Parameter failure: `nil`: it ends with OK.
    private func end(with failure: CallFailure?) {
        if let failure {
            self.loop.reject(self.token, failure)
        } else {
            self.loop.transport.finish(self.token, with: RPCStatus(.ok, ""))
        }
        self.loop.close(self.token)
        self.source.ended()
    }
}
