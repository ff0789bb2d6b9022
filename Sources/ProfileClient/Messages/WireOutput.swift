/// A writer of the protobuf wire format.
struct WireOutput {
    var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(rest))
    }

    mutating func tag(_ number: UInt32, _ wireType: UInt8) {
        self.varint(UInt64(number) << 3 | UInt64(wireType))
    }

    mutating func fixed(_ value: some FixedWidthInteger) {
        // SAFETY: the bytes are copied before the closure returns.
        withUnsafeBytes(of: value.littleEndian) { self.bytes += $0 }
    }

    mutating func lengthDelimited(_ number: UInt32, _ content: some Collection<UInt8>) {
        self.tag(number, 2)
        self.varint(UInt64(content.count))
        self.bytes += content
    }
}

/// A reader of the protobuf wire format.
struct WireInput {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        self.rest = bytes
    }

    var isEmpty: Bool { self.rest.isEmpty }

    mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = self.rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    mutating func fixed(bytes count: Int) -> UInt64? {
        guard self.rest.count >= count else { return nil }
        let value = self.rest.prefix(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        self.rest.removeFirst(count)
        return value
    }

    mutating func lengthDelimited() -> ArraySlice<UInt8>? {
        guard let count = self.varint(), count <= UInt64(self.rest.count) else { return nil }
        defer { self.rest.removeFirst(Int(count)) }
        return self.rest.prefix(Int(count))
    }

    /// Skips a field that the schema does not know.
    mutating func skip(_ wireType: UInt8) -> Bool {
        switch wireType {
        case 0: self.varint() != nil
        case 1: self.fixed(bytes: 8) != nil
        case 2: self.lengthDelimited() != nil
        case 5: self.fixed(bytes: 4) != nil
        default: false
        }
    }
}
