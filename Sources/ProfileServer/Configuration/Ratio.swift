/// A share from 0 to 1 as people write it: `0.01`.
package struct Ratio: Equatable, Sendable, CustomStringConvertible {
    /// 0...1,000,000.
    package let millionths: UInt32

    /// What `init` accepts, for error texts.
    package static let allowed = "0...1 with at most 6 decimals"
    private static let decimalsMax = 6

    /// - Precondition: At most 1,000,000.
    package init(millionths: UInt32) {
        precondition(millionths <= 1_000_000, "a share is at most 1")
        self.millionths = millionths
    }

    /// Reads `0`, `1`, `0.25`; `nil` for anything else, such as `.5`, `25%` or `1e-3`.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, whole == "0" || whole == "1" else { return nil }
        var millionths: UInt32 = whole == "1" ? 1_000_000 : 0
        if parts.count == 2 {
            let decimals = parts[1].utf8
            guard !decimals.isEmpty, decimals.count <= Self.decimalsMax,
                decimals.allSatisfy(DecimalNumber.isDigit)
            else { return nil }
            var fraction: UInt32 = 0
            for digit in decimals { fraction = fraction * 10 + UInt32(digit - UInt8(ascii: "0")) }
            for _ in decimals.count ..< Self.decimalsMax { fraction *= 10 }
            millionths += fraction
        }
        guard millionths <= 1_000_000 else { return nil }
        self.millionths = millionths
    }

    /// The shortest text that `init` reads back.
    package var description: String {
        guard self.millionths % 1_000_000 != 0 else { return "\(self.millionths / 1_000_000)" }
        var digits = String(self.millionths)
        digits = String(repeating: "0", count: Self.decimalsMax - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        return "0.\(digits)"
    }
}
