import Bytes

// SAFETY: the message is borrowed for the check; every read is preceded by a comparison of its
// offset with the end of the message that contains it.

/// One pass over a message's bytes before protobuf-c sees them; see `WireLimits` and decision 0100.
///
/// It rejects what protobuf-c would take: deep nesting, NUL inside a string (protobuf-c would
/// truncate it there, and two people would become one), invalid UTF-8, a oneof or a singular
/// field given twice, a map key twice. Each event of a Track is checked by itself, with a budget of
/// its own: what is wrong inside of one is noted and the pass continues behind it (decision 0120).
/// Allocates only to describe a violation.
struct WireCheck {
    /// What the pass found.
    enum Verdict: Equatable {
        case good
        /// Not protobuf, or not this message: INTERNAL.
        case malformed(String)
        /// Protobuf, but not allowed: INVALID_ARGUMENT.
        case invalid(WireFindings)
    }

    /// Fields of one message that are counted, asserted where the schema is built.
    static let fieldsPerMessageMax = 32

    private struct Level {
        var field: Int32
        var index: Int32
    }

    /// Offset and length of the key of a map entry, and the index of its map among the fields, in 8
    /// bytes: 100 of them stay on the stack.
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
    /// Named and unknown fields of the item, or of the message outside of its items.
    private var fieldCount = 0
    private var depth = 0
    /// Why the message is not protobuf; `nil`: it is.
    private var malformation: String?
    private var findings = WireFindings()
    /// The item that is being walked.
    private var item: WireItem?
    /// Of the message that was walked last, if it is a map entry: the offsets of its key.
    private var entryKey = 0 ..< 0
    /// The fields that lead down to the present message, for paths; `depthMax` and one.
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
        if let malformation = check.malformation { return .malformed(malformation) }
        return check.findings.isEmpty ? .good : .invalid(check.findings)
    }

    /// Walks one message; false ends the pass.
    @inline(__always)
    private mutating func message(_ index: Int, from start: Int, to end: Int) -> Bool {
        // Only objects nest, and on what is allowed of them nothing is this deep.
        guard self.depth < WireLimits.depthMax else {
            return self.violateOwner(ValuePacker.tooManyLevels)
        }
        self.depth += 1
        defer { self.depth -= 1 }
        guard self.schema.messages[index].mapCount > 0 else {
            return self.walk(index, start, end, UnsafeMutableBufferPointer(start: nil, count: 0))
        }
        return self.messageWithMaps(index, start, end)
    }

    /// Walks one item with a budget of its own; what is wrong inside of it ends the item, not the
    /// pass.
    private mutating func walkItem(_ index: Int, from start: Int, to end: Int) -> Bool {
        let fieldsOutside = self.fieldCount
        let level = self.levels[self.depth]
        self.fieldCount = 0
        self.item = WireItem(index: Int(level.index), content: start ..< end)
        _ = self.message(index, from: start, to: end)
        if let item = self.item, !item.violations.isEmpty { self.findings.items.append(item) }
        self.item = nil
        self.fieldCount = fieldsOutside
        return true
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
                return self.fail("an invalid field tag")
            }
            guard let fieldIndex = self.fieldIndex(of: UInt32(tag >> 3), in: message) else {
                guard self.countField(), self.skipUnknown(UInt8(tag & 7), &offset, end) else {
                    return false
                }
                continue
            }
            let number = first &+ fieldIndex
            let field = self.schema.fields + number
            let before = counts[fieldIndex]
            self.levels[self.depth] = Level(
                field: Int32(truncatingIfNeeded: number), index: Int32(before))
            guard self.mayCome(field, before: Int(before), &oneofs) else { return false }
            // `repeatedMax` fits 16 bits.
            counts[fieldIndex] = before &+ 1
            let valueStart = offset
            guard self.value(field, UInt8(tag & 7), &offset, end) else { return false }
            if field.pointee.isMap {
                guard self.countField(), self.keyIsNew(fieldIndex, keys, &keyCount) else {
                    return false
                }
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
            guard field.pointee.isRepeated else { return self.note("given twice") }
            guard before < field.pointee.countMax else {
                return self.violate("more than \(field.pointee.countMax) values", isOfList: true)
            }
        }
        guard field.pointee.oneof > 0 else { return true }
        let bit = UInt32(1) << UInt32(field.pointee.oneof)
        guard oneofs & bit == 0 else { return self.note("two values of one choice") }
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
        case .message where field.pointee.isItem:
            return self.walkItem(field.pointee.message, from: start, to: offset)
        case .message: return self.message(field.pointee.message, from: start, to: offset)
        case .string:
            return self.text(UnsafeRawBufferPointer(rebasing: self.input[start ..< offset]))
        default: return true
        }
    }

    private mutating func text(_ text: UnsafeRawBufferPointer) -> Bool {
        switch UTF8Rules.validity(text) {
        case .valid: true
        case .holdsNUL: self.note("holds a NUL character")
        case .invalid: self.note("not valid UTF-8")
        }
    }

    /// Counts a named or unknown field; false ends the pass.
    @inline(__always)
    private mutating func countField() -> Bool {
        self.fieldCount &+= 1
        guard self.fieldCount > WireLimits.fieldsMax else { return true }
        return self.violateOwner("more than \(WireLimits.fieldsMax) fields in all")
    }

    /// Values of a packed field.
    private mutating func packed(_ offset: inout Int, _ end: Int) -> Bool {
        guard let length = self.length(&offset, end) else { return false }
        let stop = offset + length
        var count = 0
        while offset < stop {
            guard self.varint(&offset, stop) != nil else {
                return self.fail("a varint that does not end")
            }
            count += 1
            guard count <= WireLimits.repeatedMax else {
                return self.violate("more than \(WireLimits.repeatedMax) values", isOfList: true)
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
            if same == key.count { return self.note("a key given twice") }
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
        Self.varint(self.input, &offset, end)
    }

    /// A varint of at most ten bytes, and moves behind it; `nil`: it does not end before `end`.
    @inline(__always)
    static func varint(
        _ input: UnsafeRawBufferPointer, _ offset: inout Int, _ end: Int
    ) -> UInt64? {
        // Nearly all tags and lengths are one byte.
        if offset < end, input[offset] < 0x80 {
            offset += 1
            return UInt64(input[offset - 1])
        }
        return Self.longVarint(input, &offset, end)
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

    // MARK: Findings

    /// The bytes are not protobuf: ends the item if there is one, else the pass.
    private mutating func fail(_ found: String) -> Bool {
        guard self.item == nil else { return self.violateOwner("not protobuf: \(found)") }
        self.malformation = found
        return false
    }

    /// Notes a violation behind which the rest can still be checked.
    ///
    /// - Returns: Whether the pass continues; false: enough was found.
    private mutating func note(_ description: String) -> Bool {
        _ = self.violate(description)
        return self.item.map { $0.violations.count < Violations.packedMax }
            ?? (self.findings.violations.count < Violations.listedMax)
    }

    /// Notes a violation at the present path; returns false, which ends the item if there is one,
    /// else the pass.
    private mutating func violate(_ description: String, isOfList: Bool = false) -> Bool {
        self.add(Violation(path: self.path(isOfList: isOfList), description: description))
    }

    /// Notes a violation of the item as a whole, or of the message outside of its items.
    private mutating func violateOwner(_ description: String) -> Bool {
        self.add(Violation(path: self.ownerPath, description: description))
    }

    private mutating func add(_ violation: Violation) -> Bool {
        if self.item != nil {
            self.item?.violations.add(violation)
        } else {
            self.findings.violations.add(violation)
        }
        return false
    }

    /// Such as `events[3].attributes[2].value.string`: keys are known to be well-formed names only
    /// after validation.
    private func path(isOfList: Bool, through last: Int? = nil) -> String {
        var path = ""
        let last = last ?? self.depth
        for depth in 1 ... max(last, 1) where depth <= WireLimits.depthMax {
            let level = self.levels[depth]
            guard level.field >= 0 else { continue }
            let field = self.schema.fields[Int(level.field)]
            path += (path.isEmpty ? "" : ".") + String(cString: field.name)
            if field.isRepeated, !(isOfList && depth == last) { path += "[\(level.index)]" }
        }
        return path
    }

    /// The path of the item; empty outside of one.
    private var ownerPath: String {
        guard self.item != nil else { return "" }
        for depth in 1 ... self.depth where self.levels[depth].field >= 0 {
            if self.schema.fields[Int(self.levels[depth].field)].isItem {
                return self.path(isOfList: false, through: depth)
            }
        }
        return ""
    }
}
