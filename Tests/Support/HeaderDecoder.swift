import CNGHTTP2

/// Reads the header blocks of one connection, in their order.
package final class HeaderDecoder {
    private var inflater: OpaquePointer?

    package init() {
        let made = nghttp2_hd_inflate_new(&self.inflater)
        precondition(made == 0, "nghttp2 has no memory for an inflater")
    }

    deinit { nghttp2_hd_inflate_del(self.inflater) }

    /// The fields of a block; of a repeated name the last value.
    package func fields(of block: [UInt8]) -> [String: String] {
        var fields: [String: String] = [:]
        var rest = block[...]
        while true {
            var field = nghttp2_nv()
            var flags: Int32 = 0
            let count = rest.withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(self.inflater, &field, &flags, $0.baseAddress, $0.count, 1)
            }
            precondition(count >= 0, "a block of the loop is valid")
            rest = rest.dropFirst(count)
            if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                fields[Self.text(field.name, field.namelen)] = Self.text(
                    field.value, field.valuelen)
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
        }
        nghttp2_hd_inflate_end_headers(self.inflater)
        return fields
    }

    private static func text(_ start: UnsafeMutablePointer<UInt8>?, _ count: Int) -> String {
        String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }
}
