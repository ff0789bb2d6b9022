/// What became of the events of a stream, read from its responses without decoding them whole.
struct TrackResponseCounts {
    /// Events that are durable and new.
    private(set) var stored = 0
    /// Events that were duplicates or rejected.
    private(set) var others = 0
    /// Messages that failed as a whole, or are not a TrackResponse.
    private(set) var failures = 0

    /// Fields of TrackResponse and EventResult, as their tags.
    private enum Tag {
        static let results: UInt64 = 4 << 3 | 2
        static let error: UInt64 = 7 << 3 | 2
        static let status: UInt64 = 2 << 3
    }
    /// EVENT_STATUS_STORED.
    private static let storedStatus: UInt64 = 1

    /// Counts one response.
    mutating func add(_ message: UnsafeRawBufferPointer) {
        var isFailure = false
        let isWhole = Self.forEachField(of: message) { tag, _, content in
            if tag == Tag.error { isFailure = true }
            guard tag == Tag.results else { return }
            var isStored = false
            isFailure =
                !Self.forEachField(of: content) { tag, value, _ in
                    if tag == Tag.status { isStored = value == Self.storedStatus }
                } || isFailure
            if isStored { self.stored += 1 } else { self.others += 1 }
        }
        if isFailure || !isWhole { self.failures += 1 }
    }

    /// - Parameter body: Receives tag, number (0 unless it is a varint) and content of each field.
    /// - Returns: False if the bytes are not a message.
    private static func forEachField(
        of message: UnsafeRawBufferPointer,
        _ body: (UInt64, UInt64, UnsafeRawBufferPointer) -> Void
    ) -> Bool {
        var offset = 0
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        while offset < message.count {
            guard let tag = self.varint(in: message, &offset) else { return false }
            switch tag & 7 {
            case 0:
                guard let value = self.varint(in: message, &offset) else { return false }
                body(tag, value, none)
            case 2:
                guard let length = self.varint(in: message, &offset),
                    length <= UInt64(message.count - offset)
                else { return false }
                let end = offset + Int(length)
                body(tag, 0, UnsafeRawBufferPointer(rebasing: message[offset ..< end]))
                offset = end
            case 1, 5:
                offset += tag & 7 == 1 ? 8 : 4
                guard offset <= message.count else { return false }
                body(tag, 0, none)
            default: return false
            }
        }
        return true
    }

    private static func varint(
        in bytes: UnsafeRawBufferPointer, _ offset: inout Int
    ) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count, shift < 64 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}
