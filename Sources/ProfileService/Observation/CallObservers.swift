import GRPCTransport

/// Who is told of calls, and of which. The default is nobody.
package struct CallObservers: Sendable {
    /// The access log.
    package var log: (any CallSink)?
    /// Share of the calls that it gets, in millionths; those that take long come beside it.
    package var loggedMillionths: UInt32 = 1_000_000
    /// From here on a unary call takes long, in nanoseconds.
    package var slowNanoseconds: UInt64 = .max
    /// The exporter of spans.
    package var spans: (any CallSink)?
    /// Share of the calls without a trace that begin a sampled one, in millionths.
    package var sampledMillionths: UInt32 = 0

    package init() {}

    /// Whether anybody is told of anything.
    var isNeeded: Bool { self.log != nil || self.spans != nil }

    /// What the transport does for them.
    var ofTransport: CallObservation {
        var observation = CallObservation()
        observation.reportsEnds = self.isNeeded
        observation.sampledMillionths = self.spans == nil ? 0 : self.sampledMillionths
        return observation
    }
}
