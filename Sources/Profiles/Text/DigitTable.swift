/// A sorted table of fixed-width records, kept as text in the program's read-only data.
///
/// A literal of numbers would be built at the first use or compile slowly; text of this kind costs
/// neither. A digit is one character from `0` on and is worth 0...63, the most significant first.
struct DigitTable {
    private let text: StaticString
    /// Digits of a record.
    private let width: Int
    /// Records.
    let count: Int

    init(_ text: StaticString, width: Int) {
        precondition(text.hasPointerRepresentation && text.utf8CodeUnitCount % width == 0)
        self.text = text
        self.width = width
        self.count = text.utf8CodeUnitCount / width
    }

    /// The number in the digits `range` of a record.
    func value(_ record: Int, _ range: Range<Int>) -> UInt32 {
        precondition(record >= 0 && record < self.count && range.upperBound <= self.width)
        var value: UInt32 = 0
        for digit in range {
            value = value << 6 | UInt32(self.text.utf8Start[record * self.width + digit] &- 0x30)
        }
        return value
    }

    /// The last record whose first `digits` digits are at most `key`; `nil`: there is none.
    ///
    /// - Complexity: O(log records).
    func last(_ digits: Int, atMost key: UInt32) -> Int? {
        var (low, high) = (0, self.count)
        while low < high {
            let middle = (low + high) / 2
            if self.value(middle, 0 ..< digits) <= key { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }
}

/// Runs of mapped code points, `first, last: 3 digits | step: 1 | target: 3`: every `step`-th code
/// point is mapped, each as far behind `target` as it is behind `first`.
struct RunTable {
    private let table: DigitTable

    init(_ text: StaticString) {
        self.table = DigitTable(text, width: 10)
    }

    /// What a code point is mapped to; `nil`: it is not mapped.
    func target(_ scalar: UInt32) -> UInt32? {
        guard let record = self.table.last(3, atMost: scalar),
            scalar <= self.table.value(record, 3 ..< 6)
        else { return nil }
        let distance = scalar - self.table.value(record, 0 ..< 3)
        guard distance % self.table.value(record, 6 ..< 7) == 0 else { return nil }
        return self.table.value(record, 7 ..< 10) + distance
    }
}
