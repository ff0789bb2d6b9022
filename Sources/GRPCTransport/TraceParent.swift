import Bytes

/// The trace that a caller says its call belongs to: the content of a `traceparent` field.
///
/// - Source: W3C Trace Context, level 1, section 3.2.
package struct TraceParent: Equatable, Sendable, BitwiseCopyable {
    package var trace: TraceID
    /// The caller's span; never 0.
    package var span: UInt64
    /// The caller records its part of the trace.
    package var isSampled: Bool

    package init(trace: TraceID, span: UInt64, isSampled: Bool) {
        self.trace = trace
        self.span = span
        self.isSampled = isSampled
    }

    /// `00-`, 32 digits of the trace, 16 of the span, two of the flags, with their hyphens.
    private static let bytes = 55

    /// Reads the value of a field; `nil`: it is not valid, and the call begins a trace of its own.
    ///
    /// Of a version that is not known yet the same fields count, and what follows them does not.
    init?(_ value: UnsafeRawBufferPointer) {
        guard value.count >= Self.bytes, value[2] == Self.hyphen, value[35] == Self.hyphen,
            value[52] == Self.hyphen,
            let version = HexText.number(in: value, 0 ..< 2), version != 0xFF,
            value.count == Self.bytes || version > 0 && value[Self.bytes] == Self.hyphen,
            let high = HexText.number(in: value, 3 ..< 19),
            let low = HexText.number(in: value, 19 ..< 35), high | low != 0,
            let span = HexText.number(in: value, 36 ..< 52), span != 0,
            let flags = HexText.number(in: value, 53 ..< 55)
        else { return nil }
        self.init(trace: TraceID(high: high, low: low), span: span, isSampled: flags & 1 == 1)
    }

    private static let hyphen = UInt8(ascii: "-")
}
