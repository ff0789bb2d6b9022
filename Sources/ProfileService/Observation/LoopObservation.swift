import GRPCTransport

/// The part of a loop that tells of calls.
struct LoopObservation {
    let observers: CallObservers
    /// Draws which calls are logged.
    private var sampler: TraceSampler
    /// Of the batch that is responded to; `nil`: none is.
    var phases: LogPhases?

    init(_ observers: CallObservers, seed: UInt64) {
        self.observers = observers
        self.sampler = TraceSampler(seed: seed)
    }

    /// Whether the access log gets a call.
    mutating func isLogged(_ nanoseconds: UInt64, isStream: Bool) -> Bool {
        guard self.observers.log != nil else { return false }
        // A stream is open for as long as its client likes.
        if !isStream, nanoseconds >= self.observers.slowNanoseconds { return true }
        return self.sampler.draws(millionths: self.observers.loggedMillionths)
    }
}
