import Bytes

// SAFETY: the message is borrowed for the check, and every read is preceded by a comparison with
// its end; the schema's arrays are never freed, and indexed by what the schema itself says.

/// A quick look at a message: true only where `WireCheck` would find nothing to say.
///
/// Nearly every message is small, plain and good. The check keeps account of where it is, of every
/// count and of what it does not know, so that it can say what is wrong; the look keeps a few bits,
/// and returns false where those do not suffice. It costs a third. Budget: no allocation, nothing
/// on the heap.
struct WireFastPath {
    /// Larger messages are left to the check. Below it neither the fields in all nor the bytes of a
    /// length can pass their bounds.
    static let bytesMax = 16 << 10
    /// An entry with a name of one letter and a value: three tags, three lengths, the name, and the
    /// kind and value. Shorter ones are good on the wire, and rejected by the validation.
    private static let namedFieldBytesMin = 9
    /// Entries of the maps of one message; with more the check decides.
    private static let keysMax = 32
    /// Field 1, length-delimited.
    private static let keyTag: UInt8 = 1 << 3 | 2
    /// A varint has at most so many bytes.
    private static let varintBytesMax = 10

    /// The key of a map entry and the place of its map among the fields.
    private struct Key {
        var bytes: UnsafePointer<UInt8>
        var count: Int
        var fieldIndex: UInt8
    }

    private let messages: UnsafePointer<WireMessage>
    private let fields: UnsafePointer<WireField>

    /// Whether `input` is surely good as the message with index `root` of the schema.
    static func isGood(_ input: UnsafeRawBufferPointer, root: Int, schema: WireSchema = .shared)
        -> Bool
    {
        guard let base = input.baseAddress, 1 ... Self.bytesMax ~= input.count else { return false }
        precondition(
            Self.bytesMax / Self.namedFieldBytesMin <= WireLimits.fieldsMax,
            "a small message cannot have too many fields")
        // SAFETY: bytes may be read as `UInt8`; `start + input.count` is their end.
        let start = base.assumingMemoryBound(to: UInt8.self)
        let fastPath = WireFastPath(messages: schema.messages, fields: schema.fields)
        return fastPath.message(root, start, start + input.count, depth: 1)
    }

    @inline(__always)
    private func message(
        _ index: Int, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, depth: Int
    ) -> Bool {
        guard self.messages[index].mapCount > 0 else {
            return self.look(index, start, end, depth, nil)
        }
        return self.messageWithMaps(index, start, end, depth)
    }

    private func messageWithMaps(
        _ index: Int, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ depth: Int
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: Key.self, capacity: Self.keysMax) {
            self.look(index, start, end, depth, $0.baseAddress)
        }
    }

    /// - Parameter keys: Space for `keysMax` keys, if the message has maps.
    private func look(
        _ index: Int, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ depth: Int,
        _ keys: UnsafeMutablePointer<Key>?
    ) -> Bool {
        guard depth <= WireLimits.depthMax else { return false }
        // SAFETY (all of it): nothing is read at or behind `end`, which lies in the message or at
        // its end.
        let message = self.messages + index
        let fields = self.fields + message.pointee.firstField
        var next = start
        // Fields that came, by their place; values of repeated fields together; keys.
        var seen: UInt32 = 0
        var repeated = 0
        var keyCount = 0
        while next < end {
            let tag = next.pointee
            next += 1
            // Two bytes of tag: a number over 15, which no field of the common messages has.
            guard tag < 0x80 else { return false }
            let fieldIndex = message.pointee.fieldIndexes[Int(tag >> 3)]
            guard fieldIndex != 0 else { return false }
            let field = fields + Int(fieldIndex &- 1)
            guard tag & 7 == field.pointee.wireType, seen & field.pointee.excluded == 0 else {
                return false
            }
            seen |= 1 &<< UInt32(fieldIndex &- 1)
            guard tag & 7 == 2 else {
                guard Self.skip(tag & 7, &next, end) else { return false }
                continue
            }
            guard let length = Self.length(&next, end) else { return false }
            let value = next
            next += length
            switch field.pointee.kind {
            case .string:
                guard Self.isText(value, length) else { return false }
            case .message:
                guard self.message(field.pointee.message, value, next, depth: depth &+ 1) else {
                    return false
                }
                guard field.pointee.isMap else { break }
                guard let keys,
                    Self.addKey(of: value, next, to: keys, &keyCount, fieldIndex: fieldIndex)
                else { return false }
            default: break
            }
            guard field.pointee.isRepeated else { continue }
            repeated &+= 1
            guard repeated <= field.pointee.countMax else { return false }
        }
        return true
    }

    /// Notes the key of an entry that was just looked at; false if it was there before, does not
    /// come first, or there are too many.
    private static func addKey(
        of entry: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>,
        to keys: UnsafeMutablePointer<Key>, _ count: inout Int,
        fieldIndex: UInt8
    ) -> Bool {
        // The entry is good: behind the tag of its text is a length that ends within it. One byte
        // of it holds every name.
        guard count < Self.keysMax, entry < end, entry[0] == Self.keyTag, entry[1] < 0x80 else {
            return false
        }
        let key = Key(bytes: entry + 2, count: Int(entry[1]), fieldIndex: fieldIndex)
        for index in 0 ..< count
        where keys[index].count == key.count && keys[index].fieldIndex == fieldIndex {
            var same = 0
            while same < key.count, keys[index].bytes[same] == key.bytes[same] { same &+= 1 }
            if same == key.count { return false }
        }
        (keys + count).initialize(to: key)
        count &+= 1
        return true
    }

    /// Moves behind a value that is not length-delimited.
    @inline(__always)
    private static func skip(
        _ wireType: UInt8, _ next: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> Bool {
        guard wireType == 0 else {
            next += wireType == 1 ? 8 : 4
            return next <= end
        }
        for _ in 0 ..< Self.varintBytesMax where next < end {
            next += 1
            if next[-1] < 0x80 { return true }
        }
        return false
    }

    /// A length of one or two bytes that does not reach past the end.
    @inline(__always)
    private static func length(_ next: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
        -> Int?
    {
        guard next < end else { return nil }
        var length = Int(next.pointee)
        next += 1
        if length >= 0x80 {
            guard next < end, next.pointee < 0x80 else { return nil }
            length = length & 0x7F | Int(next.pointee) << 7
            next += 1
        }
        return length <= end - next ? length : nil
    }

    /// Whether text is UTF-8 without NUL.
    @inline(__always)
    private static func isText(_ text: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        while index < count, text[index] &- 1 < 0x7F { index &+= 1 }
        if index == count { return true }
        return UTF8Rules.validity(UnsafeRawBufferPointer(start: text, count: count)) == .valid
    }
}
