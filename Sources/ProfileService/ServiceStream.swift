import GRPCTransport

/// One open stream whose requests are answered in order. Used by its loop's thread only.
final class ServiceStream {
    let token: CallToken
    var machine: ServiceStreamStateMachine
    /// The request that waits for room in the log, serialised; at most one, as the stream is paused
    /// meanwhile.
    var postponed: [UInt8] = []

    init(token: CallToken, requestsInFlightMax: Int) {
        self.token = token
        self.machine = ServiceStreamStateMachine(requestsInFlightMax: requestsInFlightMax)
    }
}
