/// The table that searching for a text without going back needs: for each beginning of the text the
/// length of the longest shorter beginning that it ends with.
///
/// Layout: `length: UInt16`, little-endian, for each byte of the text.
enum FilterBorders {
    static func append(_ text: [UInt8], to bytes: inout [UInt8]) {
        var borders: [Int] = []
        for (index, byte) in text.enumerated() {
            var border = borders.last ?? 0
            while border > 0, text[border] != byte { border = borders[border - 1] }
            if index > 0, text[border] == byte { border += 1 }
            borders.append(border)
        }
        for border in borders {
            bytes += [UInt8(truncatingIfNeeded: border), UInt8(truncatingIfNeeded: border >> 8)]
        }
    }

    /// - Parameters:
    ///   - count: Of the beginning, 1 ... bytes of the text.
    ///   - offset: Of the table.
    @inline(__always)
    static func border(
        ofFirst count: Int, _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) -> Int {
        Int(bytes.integer(at: offset + (count - 1) * 2, UInt16.self))
    }
}
