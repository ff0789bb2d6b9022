/// How much of its calls a loop tells. The default costs a call two comparisons.
package struct CallObservation: Sendable, Equatable {
    /// `RPCHandler.ended` is called for every call.
    package var reportsEnds = false
    /// Share of the calls without a trace that begin a sampled one, in millionths.
    package var sampledMillionths: UInt32 = 0

    package init() {}
}
