/// Characters that nobody sees in a text: controls, formats, and what a font shows as nothing.
package enum InvisibleCharacters {
    private static let ranges = DigitTable(InvisibleTable.ranges, width: 8)

    /// Whether a scalar has the property Default_Ignorable_Code_Point or is of the category Cc or
    /// Cf.
    package static func contains(_ scalar: UInt32) -> Bool {
        guard let record = self.ranges.last(4, atMost: scalar) else { return false }
        return scalar <= self.ranges.value(record, 4 ..< 8)
    }

    /// The first one of a text; `nil`: there is none.
    ///
    /// - Parameter text: Valid UTF-8.
    package static func first(in text: UnsafeRawBufferPointer) -> UInt32? {
        String(decoding: text, as: UTF8.self).unicodeScalars.first { self.contains($0.value) }?
            .value
    }
}
