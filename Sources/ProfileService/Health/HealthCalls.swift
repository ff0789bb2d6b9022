import Bytes
import GRPCTransport
import Messages

// grpc.health.v1: served in every phase, without a key and without a partition (H5).
extension ServiceLoop {
    /// Responds to a Check.
    func checkHealth(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        guard let service = MessageDecoder.decodeHealthCheck(message) else {
            return self.reject(call.token, .notHealthCheck)
        }
        guard let status = self.health.status(of: service) else {
            return self.reject(call.token, .unknownService)
        }
        self.transport.respond(to: call.token) {
            MessageEncoder.encodeHealthCheckResponse(status: status.rawValue, into: &$0)
        }
    }

    /// Opens a Watch, which is told of every change from then on.
    func watchHealth(_ token: CallToken) -> PullCall {
        let watch = PullCall(self, token, HealthWatchSource(self, token))
        self.healthWatches.append(watch)
        return watch
    }

    /// Tells the watches what has changed (H7); one atomic load in ticks without a change.
    func pushHealth() {
        let version = self.health.version
        guard version != self.healthVersion else { return }
        self.healthVersion = version
        for watch in self.healthWatches { watch.pump() }
    }

    func removeWatch(_ token: CallToken) {
        self.healthWatches.removeAll { $0.token == token }
    }

    /// Watches of the connection of a call.
    ///
    /// - Complexity: O(watches of the loop); only when a Watch begins.
    fileprivate func watchCount(onConnectionOf token: CallToken) -> Int {
        self.healthWatches.count {
            $0.token.connectionSlot == token.connectionSlot
                && $0.token.connectionGeneration == token.connectionGeneration
        }
    }
}

/// The states of one service: the newest that its watcher has not been sent.
final class HealthWatchSource: PullSource {
    private let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private var service = ""
    private var sent = HealthStatus.unknown

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
    }

    func receive(_ message: UnsafeRawBufferPointer) -> PullStart {
        let maximum = self.loop.streamLimits.watchesPerConnectionMax
        guard self.loop.watchCount(onConnectionOf: self.token) <= maximum else {
            return .rejected(.tooManyWatches(maximum: maximum))
        }
        guard let service = MessageDecoder.decodeHealthCheck(message) else {
            return .rejected(.notHealthCheck)
        }
        self.service = service
        return .begun
    }

    /// A service that is not served is `SERVICE_UNKNOWN`, and the stream stays open.
    private var current: HealthStatus {
        self.loop.health.status(of: self.service) ?? .serviceUnknown
    }

    var state: PullState { self.current == self.sent ? .waiting : .message }

    func write(into output: inout ByteBuffer) {
        self.sent = self.current
        MessageEncoder.encodeHealthCheckResponse(status: self.sent.rawValue, into: &output)
    }

    func ended() { self.loop.removeWatch(self.token) }
}
