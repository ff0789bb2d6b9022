/// Texts in bytes.
enum ByteSearch {
    /// Calls `body` with what follows each occurrence of a text.
    ///
    /// - Parameter body: Returns whether to go on.
    static func find(
        _ text: StaticString, in bytes: [UInt8], _ body: (ArraySlice<UInt8>) -> Bool
    ) {
        // SAFETY: both buffers are read within this call, at offsets below their counts.
        text.withUTF8Buffer { wanted in
            bytes.withUnsafeBufferPointer { all in
                guard all.count >= wanted.count else { return }
                for offset in 0 ... all.count - wanted.count where all[offset] == wanted[0] {
                    var length = 1
                    while length < wanted.count, all[offset + length] == wanted[length] {
                        length += 1
                    }
                    guard length == wanted.count else { continue }
                    if !body(bytes[(offset + length)...]) { return }
                }
            }
        }
    }
}
