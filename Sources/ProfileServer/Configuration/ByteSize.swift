/// Sizes as people write them: `67108864` or `64MiB`.
package enum ByteSize {
    /// Largest first, so that a size is shown in the largest unit it is a multiple of.
    private static let units: [(suffix: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
    ]

    /// Reads a whole number of bytes, KiB, MiB or GiB; a blank before the unit is allowed. `nil`
    /// for anything else, including decimal units (MB), which are too often confused with these.
    package static func parse(_ text: String) -> Int? {
        var digits = text[...]
        var factor = 1
        for unit in Self.units where text.hasSuffix(unit.suffix) {
            factor = unit.bytes
            digits = digits.dropLast(unit.suffix.count)
            if digits.last == " " { digits = digits.dropLast() }
        }
        // The product is bounded by 10^10 * 2^30, which is just above 2^63.
        return DecimalNumber.parse(digits, max: 9_999_999_999).flatMap {
            let (bytes, overflow) = $0.multipliedReportingOverflow(by: factor)
            return overflow ? nil : bytes
        }
    }

    /// The shortest text that `parse` reads back as `bytes`.
    package static func format(_ bytes: Int) -> String {
        for unit in Self.units where bytes > 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.suffix)"
        }
        return "\(bytes)"
    }
}
