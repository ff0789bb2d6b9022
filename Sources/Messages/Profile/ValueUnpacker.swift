import Bytes
import CMessages
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

/// Turns packed values into messages of the arena. What was packed by this service is well-formed.
extension MessageEncoder {
    /// Reads one packed value.
    func value(_ reader: inout ByteReader) -> UnsafeMutablePointer<Profiles__V1__Value> {
        let value = self.arena.make(profiles__v1__value__init)
        switch PackedTag(rawValue: reader.read()) {
        case .string:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_STRING
            value.pointee.string = self.arena.string(reader.readPrefixed())
        case .url:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_URL
            value.pointee.url = self.arena.string(reader.readPrefixed())
        case .integer:
            let zigzag = reader.readVarint()
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_INTEGER
            value.pointee.integer = Int64(bitPattern: zigzag >> 1) ^ -Int64(bitPattern: zigzag & 1)
        case .number:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_NUMBER
            value.pointee.number = Double(bitPattern: reader.read())
        case .no:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_BOOLEAN
            value.pointee.boolean = 0
        case .yes:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_BOOLEAN
            value.pointee.boolean = 1
        case .time:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_TIME
            value.pointee.time = self.timestamp(reader.read())
        case .list:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_LIST
            value.pointee.list = self.stringList(&reader)
        case .object:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_OBJECT
            value.pointee.object = self.object(&reader)
        case .objects:
            value.pointee.kind_case = PROFILES__V1__VALUE__KIND_OBJECTS
            let list = self.arena.make(profiles__v1__object_list__init)
            let count = Int(reader.readVarint())
            list.pointee.n_items = count
            list.pointee.items = self.arena.pointers(count)
            for index in 0 ..< count { list.pointee.items[index] = self.object(&reader) }
            value.pointee.objects = list
        case nil: preconditionFailure("a packed value of this process is whole")
        }
        return value
    }

    private func stringList(_ reader: inout ByteReader) -> UnsafeMutablePointer<
        Profiles__V1__StringList
    > {
        let list = self.arena.make(profiles__v1__string_list__init)
        let count = Int(reader.readVarint())
        list.pointee.n_items = count
        list.pointee.items = self.arena.pointers(count)
        for index in 0 ..< count {
            list.pointee.items[index] = self.arena.string(reader.readPrefixed())
        }
        return list
    }

    private func object(_ reader: inout ByteReader) -> UnsafeMutablePointer<Profiles__V1__Object> {
        let object = self.arena.make(profiles__v1__object__init)
        let count = Int(reader.readVarint())
        object.pointee.n_fields = count
        object.pointee.fields = self.arena.pointers(count)
        for index in 0 ..< count {
            let entry = self.arena.make(profiles__v1__object__fields_entry__init)
            entry.pointee.key = self.arena.string(reader.readPrefixed())
            entry.pointee.value = self.value(&reader)
            object.pointee.fields[index] = entry
        }
        return object
    }
}
