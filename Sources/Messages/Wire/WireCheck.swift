import Bytes

/// One pass over a message's bytes before protobuf-c sees them; see `WireLimits` and decision 0100.
///
/// It refuses what protobuf-c would take: deep nesting, NUL inside a string (protobuf-c would cut it there in silence, and two people would
/// become one), invalid UTF-8, a oneof or a singular field given twice, a map key twice. Allocates only to describe a violation.
struct WireCheck {
    /// What the pass says.
    enum Verdict: Equatable {
        case good
        /// Not protobuf, or not this message: INTERNAL.
        case malformed(String)
        /// Protobuf, but not allowed: INVALID_ARGUMENT.
        case violation(Violation)
    }

    private struct Level {
        var field: Int
        var index: Int
    }

    private let schema: WireSchema
    private let input: UnsafeRawBufferPointer
    private var fieldCount = 0
    private var unknownCount = 0
    private var depth = 0
    private var verdict = Verdict.good
    /// The way down to where the pass is: for paths.
    private var levels: InlineArray<17, Level> = InlineArray(repeating: Level(field: -1, index: 0))

    private init(_ input: UnsafeRawBufferPointer, schema: WireSchema) {
        self.input = input
        self.schema = schema
    }

    /// Checks `input` as the message with index `root` of the schema.
    static func check(_ input: UnsafeRawBufferPointer, root: Int, schema: WireSchema = .shared) -> Verdict {
        var check = WireCheck(input, schema: schema)
        _ = check.message(root, from: 0, to: input.count)
        return check.verdict
    }

    /// How often each field of one message came: at most 32 known fields a message, asserted by the schema's users.
    private struct Seen {
        var counts: InlineArray<32, UInt16> = InlineArray(repeating: 0)
        var oneofs: UInt32 = 0
    }

    /// Walks one message; false ends the pass.
    private mutating func message(_ index: Int, from start: Int, to end: Int) -> Bool {
        guard self.depth < WireLimits.depthMax else {
            return self.violate("nested deeper than \(WireLimits.depthMax) levels")
        }
        self.depth += 1
        defer { self.depth -= 1 }
        let message = self.schema.messages[index]
        var seen = Seen()
        var offset = start
        while offset < end {
            guard let tag = self.varint(&offset, end), tag >> 3 != 0, tag >> 3 <= 536_870_911 else {
                return self.fail("a field tag that is none")
            }
            self.fieldCount += 1
            guard self.fieldCount <= WireLimits.fieldsMax else {
                return self.violate("more than \(WireLimits.fieldsMax) fields in all")
            }
            guard let position = self.find(UInt32(tag >> 3), in: message) else {
                guard self.skipUnknown(UInt8(tag & 7), &offset, end) else { return false }
                continue
            }
            self.levels[self.depth] = Level(field: position, index: 0)
            guard self.count(position, message, &seen), self.value(position, UInt8(tag & 7), &offset, end, seen, message, start)
            else { return false }
        }
        return true
    }

    private func find(_ number: UInt32, in message: WireMessage) -> Int? {
        // Most numbers are dense from 1; the walk is over at most 20 entries otherwise.
        for position in message.firstField ..< message.firstField + message.fieldCount
        where self.schema.fields[position].number == number { return position }
        return nil
    }

    /// Counts one more value of a field; false if it is one too many.
    private mutating func count(_ position: Int, _ message: WireMessage, _ seen: inout Seen) -> Bool {
        let field = self.schema.fields[position]
        let slot = position - message.firstField
        let before = Int(seen.counts[slot])
        self.levels[self.depth].index = before
        if field.isRepeated {
            guard before < field.countMax else { return self.violate("more than \(field.countMax) values", isOfList: true) }
        } else if before > 0 {
            return self.violate("given twice")
        }
        if field.oneof > 0 {
            guard seen.oneofs & (1 << UInt32(field.oneof)) == 0 else { return self.violate("two values of one choice") }
            seen.oneofs |= 1 << UInt32(field.oneof)
        }
        seen.counts[slot] = UInt16(clamping: before + 1)
        return true
    }

    /// Checks one value and moves behind it.
    private mutating func value(
        _ position: Int, _ wireType: UInt8, _ offset: inout Int, _ end: Int, _ seen: Seen, _ message: WireMessage,
        _ start: Int
    ) -> Bool {
        let field = self.schema.fields[position]
        switch (field.kind, wireType) {
        case (.varint, 0): return self.varint(&offset, end) != nil || self.fail("a varint that does not end")
        case (.fixed64, 1): return self.skip(8, &offset, end)
        case (.fixed32, 5): return self.skip(4, &offset, end)
        case (.varint, 2) where field.isRepeated: return self.packed(&offset, end)
        case (.string, 2), (.bytes, 2), (.message, 2): break
        default: return self.fail("a field of another wire type")
        }
        guard let length = self.length(&offset, end) else { return false }
        let bytes = offset ..< offset + length
        offset += length
        switch field.kind {
        case .string:
            let text = UnsafeRawBufferPointer(rebasing: self.input[bytes])
            guard UTF8Rules.isValid(text) else { return self.violate("not valid UTF-8") }
            return !text.contains(0) || self.violate("holds a NUL character")
        case .message:
            guard self.message(field.message, from: bytes.lowerBound, to: bytes.upperBound) else { return false }
            return !field.isMap || self.keyIsNew(bytes, field: field, from: start)
        default: return true
        }
    }

    /// Values of a packed field, each of which counts as a field.
    private mutating func packed(_ offset: inout Int, _ end: Int) -> Bool {
        guard let length = self.length(&offset, end) else { return false }
        let stop = offset + length
        while offset < stop {
            guard self.varint(&offset, stop) != nil else { return self.fail("a varint that does not end") }
            self.fieldCount += 1
            guard self.fieldCount <= WireLimits.fieldsMax else {
                return self.violate("more than \(WireLimits.fieldsMax) fields in all")
            }
        }
        return true
    }

    // MARK: Map keys

    /// Whether no earlier entry of the same map has the key of the entry at `bytes`.
    ///
    /// - Complexity: O(entries before), so O(`mapEntriesMax`²) for a map.
    private mutating func keyIsNew(_ bytes: Range<Int>, field: WireField, from start: Int) -> Bool {
        let key = self.key(of: bytes)
        var offset = start
        while offset < bytes.lowerBound {
            guard let tag = self.varint(&offset, bytes.lowerBound) else { return true }
            var length = 0
            if tag & 7 == 2 {
                guard let found = self.varint(&offset, bytes.lowerBound) else { return true }
                length = Int(found)
                let entry = offset ..< offset + length
                if tag >> 3 == UInt64(field.number), entry.upperBound <= bytes.lowerBound,
                    self.input[self.key(of: entry)].elementsEqual(self.input[key]) {
                    return self.violate("a key given twice")
                }
            } else if tag & 7 == 0 {
                _ = self.varint(&offset, bytes.lowerBound)
            } else {
                length = tag & 7 == 1 ? 8 : 4
            }
            offset += length
        }
        return true
    }

    /// Where the key of a map entry stands; empty if it has none, which is the key "".
    private func key(of entry: Range<Int>) -> Range<Int> {
        var offset = entry.lowerBound
        while offset < entry.upperBound {
            guard let tag = self.varint(&offset, entry.upperBound) else { break }
            guard tag & 7 == 2, let length = self.varint(&offset, entry.upperBound) else { break }
            if tag >> 3 == 1 { return offset ..< offset + Int(length) }
            offset += Int(length)
        }
        return entry.lowerBound ..< entry.lowerBound
    }

    // MARK: Primitives

    private func varint(_ offset: inout Int, _ end: Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 70 {
            let byte = self.input[offset]
            offset += 1
            if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    private mutating func length(_ offset: inout Int, _ end: Int) -> Int? {
        guard let length = self.varint(&offset, end), length <= UInt64(end - offset) else {
            _ = self.fail("a length that reaches past the end")
            return nil
        }
        return Int(length)
    }

    private mutating func skip(_ count: Int, _ offset: inout Int, _ end: Int) -> Bool {
        guard end - offset >= count else { return self.fail("a value that reaches past the end") }
        offset += count
        return true
    }

    private mutating func skipUnknown(_ wireType: UInt8, _ offset: inout Int, _ end: Int) -> Bool {
        self.unknownCount += 1
        guard self.unknownCount <= WireLimits.unknownFieldsMax else {
            return self.violate("more than \(WireLimits.unknownFieldsMax) unknown fields")
        }
        switch wireType {
        case 0: return self.varint(&offset, end) != nil || self.fail("a varint that does not end")
        case 1: return self.skip(8, &offset, end)
        case 5: return self.skip(4, &offset, end)
        case 2:
            guard let length = self.length(&offset, end) else { return false }
            return self.skip(length, &offset, end)
        default: return self.fail("a group")
        }
    }

    // MARK: Outcomes

    private mutating func fail(_ found: String) -> Bool {
        self.verdict = .malformed(found)
        return false
    }

    private mutating func violate(_ description: String, isOfList: Bool = false) -> Bool {
        var path = ""
        for depth in 1 ... max(self.depth, 1) where depth < 17 {
            let level = self.levels[depth]
            guard level.field >= 0 else { continue }
            let field = self.schema.fields[level.field]
            // The entry of a map is no level of its own: its key and value say enough.
            path += (path.isEmpty ? "" : ".") + String(cString: field.name)
            if field.isRepeated, !(isOfList && depth == self.depth) { path += "[\(level.index)]" }
        }
        self.verdict = .violation(Violation(path: path, description: description))
        return false
    }
}
