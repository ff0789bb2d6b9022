/// The `grpc-timeout` header: 1...8 digits and a unit.
///
/// Source: gRPC over HTTP/2, "Timeout".
enum GRPCTimeout {
    /// Nanoseconds of the timeout, saturated; `nil` if it is malformed (G13, G14).
    static func nanoseconds(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= 2 && value.count <= 9 else { return nil }
        var amount: UInt64 = 0
        for byte in value.dropLast() {
            guard byte >= 0x30 && byte <= 0x39 else { return nil }
            amount = amount * 10 + UInt64(byte - 0x30)
        }
        let unit: UInt64
        switch value[value.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        let (product, overflow) = amount.multipliedReportingOverflow(by: unit)
        return overflow ? .max : product
    }
}
