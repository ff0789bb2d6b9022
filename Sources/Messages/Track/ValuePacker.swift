import Bytes
import CMessages
import Profiles

/// The layout that protoc-c gives every map from a name to a `Value`.
///
/// Source: `Profiles__V1__Event__AttributesEntry` and `Profiles__V1__Object__FieldsEntry`, whose
/// equality `WireCheckTests` asserts.
typealias FieldEntry = Profiles__V1__Event__AttributesEntry

/// Turns decoded values into packed ones, and says what is wrong with them.
///
/// Fields are sorted by lower-case name in the arena, so equal messages give equal bytes. Budget:
/// no allocation without violations.
struct ValuePacker {
    /// Fields of one object; the `attributes` map is the first.
    static let fieldsMax = 20
    /// Objects in each other, the `attributes` map included.
    static let levelsMax = 3
    static let tooManyLevels =
        "objects on more than \(Self.levelsMax) levels, of which `attributes` is the first"
    /// Elements of one list or array.
    static let elementsMax = 25

    var path = FieldPath()
    var violations = Violations()
    /// The items of the patch being packed; its storage is kept.
    var patchItems: [PatchSource] = []

    mutating func add(_ description: @autoclosure () -> String, at field: StaticString? = nil) {
        self.violations.add(Violation(path: self.path.text(field), description: description()))
    }

    /// Adds a violation of an element of a repeated field.
    ///
    /// There may be `WireLimits.repeatedMax` of them: no text is made for those that will not be
    /// listed.
    mutating func add(
        _ description: @autoclosure () -> String, at field: StaticString, index: Int
    ) {
        guard self.violations.listsMore else { return self.violations.addUnlisted() }
        self.violations.add(
            Violation(path: self.path.text(field) + "[\(index)]", description: description()))
    }

    /// Appends a field list.
    mutating func pack(
        fields: UnsafeMutablePointer<UnsafeMutablePointer<FieldEntry>?>?, count: Int, level: Int,
        into buffer: inout ByteBuffer
    ) {
        guard count <= Self.fieldsMax else {
            return self.add("\(count) fields, at most \(Self.fieldsMax) are allowed")
        }
        guard level <= Self.levelsMax else {
            return self.add(Self.tooManyLevels)
        }
        buffer.appendVarint(UInt64(count))
        guard let fields else { return }
        Self.sort(fields, count)
        var previous = UnsafeRawBufferPointer(start: nil, count: 0)
        for index in 0 ..< count {
            guard let field = fields[index] else { continue }
            let name = Self.text(field.pointee.key)
            self.path.push(key: name, index: index)
            defer { self.path.pop() }
            guard Self.appendName(name, into: &buffer) else {
                self.add("a name that does not match ^[a-zA-Z0-9_]{1,30}$")
                continue
            }
            if index > 0, Self.compare(previous, name) == 0 {
                self.add("a name given twice, apart from case")
            }
            previous = name
            self.pack(field.pointee.value, level: level, into: &buffer)
        }
    }

    /// Appends one value of an event.
    mutating func pack(
        _ value: UnsafeMutablePointer<Profiles__V1__Value>?, level: Int,
        into buffer: inout ByteBuffer
    ) {
        guard let value else { return self.add("a value without a kind") }
        switch value.pointee.kind_case {
        case PROFILES__V1__VALUE__KIND_STRING:
            let text = Self.text(value.pointee.string)
            if let error = TextRules.stringError(text, oneLine: true) { self.add(error) }
            buffer.appendPacked(text: text, isURL: false)
        case PROFILES__V1__VALUE__KIND_INTEGER: buffer.appendPacked(integer: value.pointee.integer)
        case PROFILES__V1__VALUE__KIND_NUMBER:
            if !value.pointee.number.isFinite { self.add("not a finite number") }
            buffer.appendPacked(number: value.pointee.number)
        case PROFILES__V1__VALUE__KIND_BOOLEAN:
            buffer.appendPacked(boolean: value.pointee.boolean != 0)
        case PROFILES__V1__VALUE__KIND_TIME:
            let time = TimeRules.microseconds(
                value.pointee.time.pointee, from: TimeRules.valueSecondsMin)
            if time == nil { self.add(TimeRules.valueAllowed) }
            buffer.appendPacked(timeMicroseconds: time ?? 0)
        case PROFILES__V1__VALUE__KIND_URL:
            let text = Self.text(value.pointee.url)
            if let error = TextRules.urlError(text) { self.add(error) }
            buffer.appendPacked(text: text, isURL: true)
        case PROFILES__V1__VALUE__KIND_LIST:
            self.pack(list: value.pointee.list.pointee, into: &buffer)
        case PROFILES__V1__VALUE__KIND_OBJECT:
            buffer.append(PackedTag.object.rawValue)
            self.pack(object: value.pointee.object.pointee, level: level + 1, into: &buffer)
        case PROFILES__V1__VALUE__KIND_OBJECTS:
            self.pack(objects: value.pointee.objects.pointee, level: level + 1, into: &buffer)
        default: self.add("a value without a kind")
        }
    }

    private mutating func pack(list: Profiles__V1__StringList, into buffer: inout ByteBuffer) {
        self.path.push("items")
        defer { self.path.pop() }
        guard list.n_items <= Self.elementsMax else {
            return self.add("\(list.n_items) elements, at most \(Self.elementsMax) are allowed")
        }
        buffer.append(PackedTag.list.rawValue)
        buffer.appendVarint(UInt64(list.n_items))
        for index in 0 ..< list.n_items {
            let text = Self.text(list.items[index])
            if let error = TextRules.stringError(text, oneLine: true) {
                self.path.push(index: index)
                self.add(error)
                self.path.pop()
            }
            buffer.appendPrefixed(text)
        }
    }

    private mutating func pack(
        objects: Profiles__V1__ObjectList, level: Int, into buffer: inout ByteBuffer
    ) {
        self.path.push("items")
        defer { self.path.pop() }
        guard objects.n_items <= Self.elementsMax else {
            return self.add("\(objects.n_items) elements, at most \(Self.elementsMax) are allowed")
        }
        buffer.append(PackedTag.objects.rawValue)
        buffer.appendVarint(UInt64(objects.n_items))
        for index in 0 ..< objects.n_items {
            guard let object = objects.items[index] else { continue }
            self.path.push(index: index)
            self.pack(object: object.pointee, level: level, into: &buffer)
            self.path.pop()
        }
    }

    private mutating func pack(
        object: Profiles__V1__Object, level: Int, into buffer: inout ByteBuffer
    ) {
        // SAFETY: the two entry types have the same three members in the same order; see
        // `FieldEntry`.
        let fields = object.fields.map {
            UnsafeMutableRawPointer($0).assumingMemoryBound(
                to: UnsafeMutablePointer<FieldEntry>?.self)
        }
        self.pack(fields: fields, count: object.n_fields, level: level, into: &buffer)
    }

    // MARK: Text and order

    /// The bytes of a C string of the decoded message.
    static func text(_ string: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
        guard let string else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        var count = 0
        while string[count] != 0 { count += 1 }
        return UnsafeRawBufferPointer(start: string, count: count)
    }

    static func text(_ string: UnsafeMutablePointer<CChar>?) -> UnsafeRawBufferPointer {
        Self.text(string.map { UnsafePointer($0) })
    }

    /// Appends a name in lower case, prefixed.
    ///
    /// Every attribute and event has one, so it is read eight bytes at a time; the last word of a
    /// name overlaps the one before it.
    ///
    /// - Returns: Whether it is one (`TextRules.isName`); if not, what was appended means nothing.
    // SAFETY: `count` bytes are readable at `source` and writable at `target`, and every load and
    // store is within them: at 8 bytes or 4 before the end only if there are as many.
    static func appendName(_ name: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) -> Bool {
        let count = name.count
        guard 1 ... TextRules.nameBytesMax ~= count, let source = name.baseAddress,
            let prefix = buffer.appendUninitialized(1 + count).baseAddress
        else { return false }
        prefix.storeBytes(of: UInt8(truncatingIfNeeded: count), as: UInt8.self)
        let target = prefix + 1
        guard count >= 4 else {
            var word: UInt64 = 0
            for index in 0 ..< count { word |= UInt64(name[index]) &<< UInt64(8 &* index) }
            // The bytes that are not there count as letters.
            let name = NameWord(word | 0x6161_6161_6161_6161 &<< UInt64(8 &* count))
            for index in 0 ..< count {
                target.storeBytes(of: name[index], toByteOffset: index, as: UInt8.self)
            }
            return name.isName
        }
        guard count >= 8 else {
            let low = source.loadUnaligned(as: UInt32.self)
            let high = source.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
            let name = NameWord(UInt64(low) | UInt64(high) &<< 32)
            target.storeBytes(of: UInt32(truncatingIfNeeded: name.lowered), as: UInt32.self)
            target.storeBytes(
                of: UInt32(truncatingIfNeeded: name.lowered &>> 32), toByteOffset: count &- 4,
                as: UInt32.self)
            return name.isName
        }
        var isName = true
        var offset = 0
        while true {
            let name = NameWord(source.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            target.storeBytes(of: name.lowered, toByteOffset: offset, as: UInt64.self)
            isName = isName && name.isName
            guard offset &+ 8 < count else { return isName }
            offset = min(offset &+ 8, count &- 8)
        }
    }

    /// Sorts at most `fieldsMax` entries by lower-case name; insertion, as most clients send them
    /// sorted or few.
    private static func sort(
        _ fields: UnsafeMutablePointer<UnsafeMutablePointer<FieldEntry>?>, _ count: Int
    ) {
        for index in 1 ..< max(count, 1) {
            let moving = fields[index]
            var target = index
            while target > 0, Self.isOrdered(moving, before: fields[target - 1]) {
                fields[target] = fields[target - 1]
                target -= 1
            }
            fields[target] = moving
        }
    }

    /// Whether an entry's name in lower case stands before another's; the NUL behind a name is less
    /// than all of it.
    private static func isOrdered(
        _ entry: UnsafeMutablePointer<FieldEntry>?, before other: UnsafeMutablePointer<FieldEntry>?
    ) -> Bool {
        guard let left = entry?.pointee.key, let right = other?.pointee.key else { return false }
        var index = 0
        while true {
            let one = TextRules.lower(UInt8(bitPattern: left[index]))
            let two = TextRules.lower(UInt8(bitPattern: right[index]))
            guard one == two, one != 0 else { return one < two }
            index &+= 1
        }
    }

    /// Orders names by their lower-case bytes.
    static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let common = min(left.count, right.count)
        for index in 0 ..< common {
            let difference = Int(TextRules.lower(left[index])) - Int(TextRules.lower(right[index]))
            if difference != 0 { return difference }
        }
        return left.count - right.count
    }
}
