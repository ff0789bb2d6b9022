/// The place of one call in a trace. Made for calls that bring one, ask for one or are sampled;
/// others cost nothing.
package final class CallTrace: Sendable {
    package let trace: TraceID
    /// The span of the call itself; never 0.
    package let span: UInt64
    /// The caller's span; 0: the call is the root of its trace.
    package let parentSpan: UInt64
    package let isSampled: Bool
    /// `tracestate` as it came; empty: none, an invalid one, or nobody wants it, as the call is
    /// neither sampled nor to be returned.
    package let state: String
    /// The client is told in the trailers.
    let isReturned: Bool

    package init(
        trace: TraceID, span: UInt64, parentSpan: UInt64, isSampled: Bool, state: String,
        isReturned: Bool
    ) {
        self.trace = trace
        self.span = span
        self.parentSpan = parentSpan
        self.isSampled = isSampled
        self.state = state
        self.isReturned = isReturned
    }

    /// The value of `traceparent` with this call as the parent.
    package var parentText: String {
        "00-\(self.trace)-\(HexText.text(self.span))-\(self.isSampled ? "01" : "00")"
    }
}
