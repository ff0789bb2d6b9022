import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

/// One item of a decoded patch, before the items are sorted.
struct PatchSource {
    /// Which part of the patch it stands in.
    enum Part {
        case set(UnsafeMutablePointer<Profiles__V1__Value>?)
        case delete
        case add(UnsafeMutablePointer<Profiles__V1__StringList>?)
        case remove(UnsafeMutablePointer<Profiles__V1__StringList>?)
        case native(NativeAttribute, UnsafeRawBufferPointer)
    }

    /// As sent.
    var name: UnsafeRawBufferPointer
    /// Its place in its part.
    var index: Int
    var part: Part

    var partName: StaticString {
        switch self.part {
        case .set: "set"
        case .delete: "delete"
        case .add: "add"
        case .remove: "remove"
        case .native: "native"
        }
    }
}

/// Turns attribute patches into the items of a record, in ascending order of their lower-case
/// names.
extension ValuePacker {
    /// Names of one patch; the pass over the wire allows 100 in each map.
    static let patchItemsMax = 200

    /// Appends a patch: its count and its items. Violations are noted.
    mutating func pack(
        patch: UnsafeMutablePointer<Profiles__V1__AttributePatch>?, into buffer: inout ByteBuffer
    ) {
        guard let patch else { return buffer.appendVarint(0) }
        self.path.push("attributes")
        defer { self.path.pop() }
        self.gather(patch.pointee)
        guard self.patchItems.count <= Self.patchItemsMax else {
            let count = self.patchItems.count
            return self.add("\(count) names, at most \(Self.patchItemsMax) are allowed")
        }
        self.sortPatchItems()
        buffer.appendVarint(UInt64(self.patchItems.count))
        for number in self.patchItems.indices {
            let item = self.patchItems[number]
            self.path.push(item.partName)
            if case .delete = item.part {
                self.path.push(index: item.index)
            } else {
                self.path.push(key: item.name, index: item.index)
            }
            let previous =
                number > 0 ? self.patchItems[number - 1].name : .init(start: nil, count: 0)
            if number > 0, Self.compare(previous, item.name) == 0 {
                self.add("a name given twice in the patch, apart from case")
            }
            self.pack(item, into: &buffer)
            self.path.pop()
            self.path.pop()
        }
    }

    private mutating func gather(_ patch: Profiles__V1__AttributePatch) {
        self.patchItems.removeAll(keepingCapacity: true)
        for index in 0 ..< patch.n_set {
            guard let entry = patch.set[index]?.pointee else { continue }
            self.patchItems.append(
                PatchSource(name: Self.text(entry.key), index: index, part: .set(entry.value)))
        }
        for index in 0 ..< patch.n_delete_ {
            self.patchItems.append(
                PatchSource(name: Self.text(patch.delete_[index]), index: index, part: .delete))
        }
        for index in 0 ..< patch.n_add {
            guard let entry = patch.add[index]?.pointee else { continue }
            self.patchItems.append(
                PatchSource(name: Self.text(entry.key), index: index, part: .add(entry.value)))
        }
        for index in 0 ..< patch.n_remove {
            guard let entry = patch.remove[index]?.pointee else { continue }
            self.patchItems.append(
                PatchSource(name: Self.text(entry.key), index: index, part: .remove(entry.value)))
        }
        guard let native = patch.native?.pointee else { return }
        let values = [
            native.email_address, native.phone_number, native.language, native.region,
            native.timezone,
        ]
        for (attribute, value) in zip(NativeAttribute.allCases, values) {
            guard let value else { continue }
            let name = UnsafeRawBufferPointer(
                start: attribute.name.utf8Start, count: attribute.name.utf8CodeUnitCount)
            self.patchItems.append(
                PatchSource(
                    name: name, index: Int(attribute.rawValue),
                    part: .native(attribute, Self.text(value.pointee.value))))
        }
    }

    private mutating func sortPatchItems() {
        self.patchItems.sort { Self.compare($0.name, $1.name) < 0 }
    }

    private mutating func pack(_ item: PatchSource, into buffer: inout ByteBuffer) {
        if !Self.appendName(item.name, into: &buffer) {
            self.add("a name that does not match ^[a-zA-Z0-9_]{1,30}$")
        }
        switch item.part {
        case .set(let value):
            self.rejectNative(item.name)
            buffer.append(PatchAction.set.rawValue)
            self.pack(attribute: value, into: &buffer)
        case .delete: buffer.append(PatchAction.delete.rawValue)
        case .add(let list), .remove(let list):
            self.rejectNative(item.name)
            if case .add = item.part {
                buffer.append(PatchAction.add.rawValue)
            } else {
                buffer.append(PatchAction.remove.rawValue)
            }
            // Nothing to add or remove is a mistake of the caller's: it would neither create the
            // list nor change it.
            if (list?.pointee.n_items ?? 0) == 0 { self.add("an empty list", at: "items") }
            self.pack(strings: list, into: &buffer)
        case .native(let attribute, let text):
            if let error = NativeRules.error(attribute, text) { self.add(error) }
            buffer.append(PatchAction.set.rawValue)
            buffer.appendPacked(text: text, isURL: false)
        }
    }

    /// A custom attribute may not be called like a native one, or nobody could tell them apart.
    private mutating func rejectNative(_ name: UnsafeRawBufferPointer) {
        for native in NativeAttribute.allCases {
            let text = UnsafeRawBufferPointer(
                start: native.name.utf8Start, count: native.name.utf8CodeUnitCount)
            if Self.compare(name, text) == 0 {
                self.add("the name of a native attribute, to be set in attributes.native")
            }
        }
    }

    /// Appends the value of an attribute: no objects, and text may have lines.
    private mutating func pack(
        attribute value: UnsafeMutablePointer<Profiles__V1__Value>?, into buffer: inout ByteBuffer
    ) {
        guard let value else { return self.add("a value without a kind") }
        switch value.pointee.kind_case {
        case PROFILES__V1__VALUE__KIND_STRING:
            let text = Self.text(value.pointee.string)
            if let error = TextRules.stringError(text, oneLine: false) { self.add(error) }
            buffer.appendPacked(text: text, isURL: false)
        case PROFILES__V1__VALUE__KIND_LIST: self.pack(strings: value.pointee.list, into: &buffer)
        case PROFILES__V1__VALUE__KIND_OBJECT, PROFILES__V1__VALUE__KIND_OBJECTS:
            self.add("an object, which only events may have")
        default: self.pack(value, level: 1, into: &buffer)
        }
    }

    private mutating func pack(
        strings: UnsafeMutablePointer<Profiles__V1__StringList>?, into buffer: inout ByteBuffer
    ) {
        let list = strings?.pointee
        let count = list?.n_items ?? 0
        self.path.push("items")
        defer { self.path.pop() }
        guard count <= Self.elementsMax else {
            return self.add("\(count) elements, at most \(Self.elementsMax) are allowed")
        }
        buffer.append(PackedTag.list.rawValue)
        buffer.appendVarint(UInt64(count))
        for index in 0 ..< count {
            let text = Self.text(list?.items[index])
            if let error = TextRules.stringError(text, oneLine: false) {
                self.path.push(index: index)
                self.add(error)
                self.path.pop()
            }
            buffer.appendPrefixed(text)
        }
    }
}
