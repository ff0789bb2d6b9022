import Bytes

// SAFETY: the message is borrowed for the check; every read is preceded by a comparison of its
// offset with the end of the message that contains it.

/// One pass over a message's bytes before protobuf-c sees them; see `WireLimits` and decision 0100.
///
/// It refuses what protobuf-c would take: deep nesting, NUL inside a string (protobuf-c would cut
/// it there in silence, and two people would become one), invalid UTF-8, a oneof or a singular
/// field given twice, a map key twice. Allocates only to describe a violation.
struct WireCheck {
    /// What the pass says.
    enum Verdict: Equatable {
        case good
        /// Not protobuf, or not this message: INTERNAL.
        case malformed(String)
        /// Protobuf, but not allowed: INVALID_ARGUMENT.
        case violation(Violation)
    }

    /// Fields of one message that are counted, asserted where the schema is built.
    static let fieldsPerMessageMax = 32

    private struct Level {
        var field: Int32
        var index: Int32
    }

    /// Where the key of a map entry stands, and the place of its map among the fields, in 8 bytes:
    /// 100 of them stay on the stack.
    private struct Key: Equatable {
        private let packed: UInt64

        init(fieldIndex: Int, start: Int, count: Int) {
            self.packed = UInt64(start) << 32 | UInt64(count) << 8 | UInt64(fieldIndex)
        }

        var fieldIndex: UInt8 { UInt8(truncatingIfNeeded: self.packed) }
        var start: Int { Int(self.packed >> 32) }
        var count: Int { Int(self.packed >> 8 & 0xFF_FFFF) }
    }

    private let schema: WireSchema
    private let input: UnsafeRawBufferPointer
    private var fieldCount = 0
    private var unknownCount = 0
    private var depth = 0
    private var verdict = Verdict.good
    /// Of the message that was walked last, if it is a map entry: where its key stands.
    private var entryKey = 0 ..< 0
    /// The way down to where the pass is: for paths.
    private var levels: InlineArray<17, Level> = InlineArray(repeating: Level(field: -1, index: 0))

    private init(_ input: UnsafeRawBufferPointer, schema: WireSchema) {
        self.input = input
        self.schema = schema
    }

    /// Checks `input` as the message with index `root` of the schema.
    static func check(_ input: UnsafeRawBufferPointer, root: Int, schema: WireSchema = .shared)
        -> Verdict
    {
        var check = WireCheck(input, schema: schema)
        _ = check.message(root, from: 0, to: input.count)
        return check.verdict
    }

    /// Walks one message; false ends the pass.
    @inline(__always)
    private mutating func message(_ index: Int, from start: Int, to end: Int) -> Bool {
        guard self.depth < WireLimits.depthMax else {
            return self.violate("nested deeper than \(WireLimits.depthMax) levels")
        }
        self.depth += 1
        defer { self.depth -= 1 }
        guard self.schema.messages[index].mapCount > 0 else {
            return self.walk(index, start, end, UnsafeMutableBufferPointer(start: nil, count: 0))
        }
        return self.messageWithMaps(index, start, end)
    }

    private mutating func messageWithMaps(_ index: Int, _ start: Int, _ end: Int) -> Bool {
        // On the stack: 800 bytes a map.
        let keysMax = self.schema.messages[index].mapCount * WireLimits.mapEntriesMax
        return withUnsafeTemporaryAllocation(of: Key.self, capacity: keysMax) { keys in
            self.walk(index, start, end, keys)
        }
    }

    private mutating func walk(
        _ index: Int, _ start: Int, _ end: Int, _ keys: UnsafeMutableBufferPointer<Key>
    ) -> Bool {
        let message = self.schema.messages + index
        let first = message.pointee.firstField
        var offset = start
        // How often each field came: an array on the stack, as reading it is all that most fields
        // need.
        var counts = InlineArray<32, UInt16>(repeating: 0)
        var oneofs: UInt32 = 0
        var keyCount = 0
        var key = start ..< start
        while offset < end {
            guard let tag = self.varint(&offset, end), tag >> 3 != 0, tag >> 3 <= 536_870_911 else {
                return self.fail("a field tag that is none")
            }
            self.fieldCount &+= 1
            guard self.fieldCount <= WireLimits.fieldsMax else {
                return self.violate("more than \(WireLimits.fieldsMax) fields in all")
            }
            guard let fieldIndex = self.fieldIndex(of: UInt32(tag >> 3), in: message) else {
                guard self.skipUnknown(UInt8(tag & 7), &offset, end) else { return false }
                continue
            }
            let number = first &+ fieldIndex
            let field = self.schema.fields + number
            let before = counts[fieldIndex]
            self.levels[self.depth] = Level(
                field: Int32(truncatingIfNeeded: number), index: Int32(before))
            guard self.mayCome(field, before: Int(before), &oneofs) else { return false }
            // `fieldsMax` fits 16 bits.
            counts[fieldIndex] = before &+ 1
            let valueStart = offset
            guard self.value(field, UInt8(tag & 7), &offset, end) else { return false }
            if field.pointee.isMap {
                guard self.keyIsNew(fieldIndex, keys, &keyCount) else { return false }
            } else if field.pointee.number == 1, field.pointee.kind == .string {
                key = self.content(from: valueStart, to: offset)
            }
        }
        self.entryKey = key
        return true
    }

    @inline(__always)
    private func fieldIndex(of number: UInt32, in message: UnsafePointer<WireMessage>) -> Int? {
        if number < WireMessage.denseNumbers {
            let fieldIndex = Int(message.pointee.fieldIndexes[Int(number)])
            return fieldIndex == 0 ? nil : fieldIndex - 1
        }
        let first = message.pointee.firstField
        for fieldIndex in 0 ..< message.pointee.fieldCount
        where self.schema.fields[first + fieldIndex].number == number {
            return fieldIndex
        }
        return nil
    }

    /// Whether a field that came `before` times may come again; false ends the pass.
    @inline(__always)
    private mutating func mayCome(
        _ field: UnsafePointer<WireField>, before: Int, _ oneofs: inout UInt32
    ) -> Bool {
        if before > 0 {
            guard field.pointee.isRepeated else { return self.violate("given twice") }
            guard before < field.pointee.countMax else {
                return self.violate("more than \(field.pointee.countMax) values", isOfList: true)
            }
        }
        guard field.pointee.oneof > 0 else { return true }
        let bit = UInt32(1) << UInt32(field.pointee.oneof)
        guard oneofs & bit == 0 else { return self.violate("two values of one choice") }
        oneofs |= bit
        return true
    }

    /// Checks one value and moves behind it.
    @inline(__always)
    private mutating func value(
        _ field: UnsafePointer<WireField>, _ wireType: UInt8, _ offset: inout Int, _ end: Int
    ) -> Bool {
        guard wireType == field.pointee.wireType else {
            // Numbers of a repeated field may also come in one run.
            guard wireType == 2, field.pointee.isRepeated, field.pointee.kind == .varint else {
                return self.fail("a field of another wire type")
            }
            return self.packed(&offset, end)
        }
        guard wireType == 2 else {
            switch wireType {
            case 0:
                return self.varint(&offset, end) != nil || self.fail("a varint that does not end")
            case 1: return self.skip(8, &offset, end)
            default: return self.skip(4, &offset, end)
            }
        }
        guard let length = self.varint(&offset, end),
            length <= UInt64(truncatingIfNeeded: end &- offset)
        else {
            return self.fail("a length that reaches past the end")
        }
        let start = offset
        offset &+= Int(length)
        switch field.pointee.kind {
        case .message: return self.message(field.pointee.message, from: start, to: offset)
        case .string:
            return self.text(UnsafeRawBufferPointer(rebasing: self.input[start ..< offset]))
        default: return true
        }
    }

    private mutating func text(_ text: UnsafeRawBufferPointer) -> Bool {
        switch UTF8Rules.validity(text) {
        case .valid: true
        case .holdsNUL: self.violate("holds a NUL character")
        case .invalid: self.violate("not valid UTF-8")
        }
    }

    /// Values of a packed field, each of which counts as a field.
    private mutating func packed(_ offset: inout Int, _ end: Int) -> Bool {
        guard let length = self.length(&offset, end) else { return false }
        let stop = offset + length
        while offset < stop {
            guard self.varint(&offset, stop) != nil else {
                return self.fail("a varint that does not end")
            }
            self.fieldCount += 1
            guard self.fieldCount <= WireLimits.fieldsMax else {
                return self.violate("more than \(WireLimits.fieldsMax) fields in all")
            }
        }
        return true
    }

    // MARK: Map keys

    /// Whether no earlier entry of the same map has the key of the entry that was just walked.
    ///
    /// - Complexity: O(entries before), so O(`mapEntriesMax`²) for a map.
    private mutating func keyIsNew(
        _ fieldIndex: Int, _ keys: UnsafeMutableBufferPointer<Key>, _ keyCount: inout Int
    ) -> Bool {
        let key = Key(
            fieldIndex: fieldIndex, start: self.entryKey.lowerBound, count: self.entryKey.count)
        for index in 0 ..< keyCount {
            let other = keys[index]
            guard other.count == key.count, other.fieldIndex == key.fieldIndex else { continue }
            var same = 0
            while same < key.count, self.input[other.start + same] == self.input[key.start + same] {
                same += 1
            }
            if same == key.count { return self.violate("a key given twice") }
        }
        keys.initializeElement(at: keyCount, to: key)
        keyCount += 1
        return true
    }

    /// The bytes of a length-delimited value, without its length.
    private func content(from start: Int, to end: Int) -> Range<Int> {
        var offset = start
        _ = self.varint(&offset, end)
        return offset ..< end
    }

    // MARK: Primitives

    // Static, on the input alone: a method of this large struct would copy all of it for each call.
    @inline(__always)
    private func varint(_ offset: inout Int, _ end: Int) -> UInt64? {
        // Nearly all tags and lengths are one byte.
        if offset < end, self.input[offset] < 0x80 {
            offset += 1
            return UInt64(self.input[offset - 1])
        }
        return Self.longVarint(self.input, &offset, end)
    }

    private static func longVarint(
        _ input: UnsafeRawBufferPointer, _ offset: inout Int, _ end: Int
    ) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 70 {
            let byte = input[offset]
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
            let field = self.schema.fields[Int(level.field)]
            // The entry of a map is no level of its own: its key and value say enough.
            path += (path.isEmpty ? "" : ".") + String(cString: field.name)
            if field.isRepeated, !(isOfList && depth == self.depth) { path += "[\(level.index)]" }
        }
        self.verdict = .violation(Violation(path: path, description: description))
        return false
    }
}
