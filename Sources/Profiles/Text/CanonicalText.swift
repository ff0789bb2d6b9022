/// Canonical decomposition and composition of Unicode text, by tables of a fixed version.
///
/// The standard library's normalization follows the Unicode version of its release. Keys that are
/// stored, and outcomes of records, must not change with the toolchain.
///
/// Source: Unicode Standard Annex #15; section 3.12 of the standard for Hangul.
enum CanonicalText {
    private static let decompositions = DigitTable(CanonicalTable.decompositions, width: 9)
    private static let classes = DigitTable(CanonicalTable.classes, width: 8)
    private static let composites = DigitTable(CompositionTable.composites, width: 9)

    /// Syllables of Hangul are computed from the parts leading, vowel and trailing.
    private enum Hangul {
        static let syllables: Range<UInt32> = 0xAC00 ..< 0xAC00 + 19 * 28 * 21
        static let leading: Range<UInt32> = 0x1100 ..< 0x1113
        static let vowels: Range<UInt32> = 0x1161 ..< 0x1176
        /// The first is "no trailing consonant", which has no code point of its own.
        static let trailing: Range<UInt32> = 0x11A7 ..< 0x11C3
        static let syllablesPerLeading: UInt32 = 21 * 28
    }

    /// Text in normalization form C.
    static func composed(_ scalars: [UInt32]) -> [UInt32] {
        var decomposed: [UInt32] = []
        for scalar in scalars { self.decompose(scalar, into: &decomposed) }
        self.order(&decomposed)
        return self.compose(decomposed)
    }

    /// Appends the full canonical decomposition of a scalar, not yet in canonical order.
    static func decompose(_ scalar: UInt32, into decomposed: inout [UInt32]) {
        guard scalar >= 0xC0 else { return decomposed.append(scalar) }
        if Hangul.syllables.contains(scalar) {
            let index = scalar - Hangul.syllables.lowerBound
            decomposed.append(Hangul.leading.lowerBound + index / Hangul.syllablesPerLeading)
            decomposed.append(
                Hangul.vowels.lowerBound + index % Hangul.syllablesPerLeading
                    / UInt32(Hangul.trailing.count))
            let trailing = index % UInt32(Hangul.trailing.count)
            if trailing > 0 { decomposed.append(Hangul.trailing.lowerBound + trailing) }
            return
        }
        guard let record = self.decompositions.last(3, atMost: scalar),
            self.decompositions.value(record, 0 ..< 3) == scalar
        else { return decomposed.append(scalar) }
        // Only the first part may be decomposed further.
        self.decompose(self.decompositions.value(record, 3 ..< 6), into: &decomposed)
        let second = self.decompositions.value(record, 6 ..< 9)
        if second > 0 { decomposed.append(second) }
    }

    /// The canonical combining class.
    private static func combiningClass(_ scalar: UInt32) -> UInt32 {
        guard scalar >= 0x300, let record = self.classes.last(3, atMost: scalar),
            scalar <= self.classes.value(record, 3 ..< 6)
        else { return 0 }
        return self.classes.value(record, 6 ..< 8)
    }

    /// Sorts every sequence of combining marks by class, keeping the order of equal ones.
    private static func order(_ scalars: inout [UInt32]) {
        var start = 0
        while start < scalars.count {
            var end = start
            while end < scalars.count, self.combiningClass(scalars[end]) != 0 { end += 1 }
            if end - start > 1 {
                // Enumerated, as the library's sort need not be stable.
                let sorted = scalars[start ..< end].enumerated().sorted {
                    let (left, right) = (
                        self.combiningClass($0.element), self.combiningClass($1.element)
                    )
                    return (left, $0.offset) < (right, $1.offset)
                }
                scalars.replaceSubrange(start ..< end, with: sorted.map(\.element))
            }
            start = end + 1
        }
    }

    private static func compose(_ decomposed: [UInt32]) -> [UInt32] {
        var composed: [UInt32] = []
        var starter: Int?
        /// Of the last mark between the starter and here; `nil`: there is none.
        var classBefore: UInt32?
        for scalar in decomposed {
            let combiningClass = self.combiningClass(scalar)
            // A mark of an equal or higher class in between keeps the two apart.
            if let starter, classBefore.map({ $0 < combiningClass }) ?? true,
                let composite = self.composite(composed[starter], scalar)
            {
                composed[starter] = composite
                continue
            }
            if combiningClass == 0 {
                starter = composed.count
                classBefore = nil
            } else {
                classBefore = combiningClass
            }
            composed.append(scalar)
        }
        return composed
    }

    private static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if Hangul.leading.contains(first), Hangul.vowels.contains(second) {
            return Hangul.syllables.lowerBound
                + (first - Hangul.leading.lowerBound) * Hangul.syllablesPerLeading
                + (second - Hangul.vowels.lowerBound) * UInt32(Hangul.trailing.count)
        }
        if Hangul.syllables.contains(first),
            (first - Hangul.syllables.lowerBound) % UInt32(Hangul.trailing.count) == 0,
            Hangul.trailing.dropFirst().contains(second)
        {
            return first + second - Hangul.trailing.lowerBound
        }
        // The records are in the order of their first scalars, and of their second ones in there.
        guard var record = self.composites.last(3, atMost: first) else { return nil }
        while self.composites.value(record, 0 ..< 3) == first {
            if self.composites.value(record, 3 ..< 6) == second {
                return self.composites.value(record, 6 ..< 9)
            }
            guard record > 0 else { return nil }
            record -= 1
        }
        return nil
    }
}
