/// The names of time zones, from a fixed release of the tz database.
///
/// The database of the system is not used: containers often have none, distributions leave out
/// links, and the same request would be valid on one machine and invalid on another.
enum TimeZoneNames {
    private static let separator = UInt8(ascii: " ")
    /// Longest name, in characters. Those of the database have at most 32.
    static let charactersMax = 64

    /// Whether a text is the name of a zone or of a link, deprecated ones included. Case matters:
    /// what reads a name later often looks for a file of that name.
    ///
    /// - Complexity: O(log names).
    static func contains(_ text: UnsafeRawBufferPointer) -> Bool {
        let names = TimeZoneTable.names
        guard names.hasPointerRepresentation, text.count <= self.charactersMax else {
            return false
        }
        var (low, high) = (0, names.utf8CodeUnitCount)
        while low < high {
            // The name around the middle, whole.
            let middle = (low + high) / 2
            var (start, end) = (middle, middle)
            while start > low, names.utf8Start[start - 1] != self.separator { start -= 1 }
            while end < high, names.utf8Start[end] != self.separator { end += 1 }
            switch self.compare(text, names, start ..< end) {
            case 0: return true
            case ..<0: high = max(low, start - 1)
            default: low = min(high, end + 1)
            }
        }
        return false
    }

    /// Negative if the text is before the name in the order of bytes, 0 if it is the name.
    private static func compare(
        _ text: UnsafeRawBufferPointer, _ names: StaticString, _ name: Range<Int>
    ) -> Int {
        for (byte, offset) in zip(text, name) where byte != names.utf8Start[offset] {
            return Int(byte) - Int(names.utf8Start[offset])
        }
        return text.count - name.count
    }
}
