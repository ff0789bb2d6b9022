import ProfileClient

extension JSONValue {
    /// A count in a position file: so far below the largest number that no run counts beyond it.
    var count: Int? {
        self.integer.flatMap(Int.init(exactly:)).flatMap { 0 ... 1 << 62 ~= $0 ? $0 : nil }
    }

    /// An lsn, as a string or a number.
    var lsn: UInt64? { UInt64(self.text ?? self.description) }
}
