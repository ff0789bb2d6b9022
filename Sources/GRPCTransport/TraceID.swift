/// The id of a trace: 128 bits, never 0.
package struct TraceID: Equatable, Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 lower-case hexadecimal digits, as in `traceparent`.
    package var description: String { HexText.text(self.high) + HexText.text(self.low) }
}
