import Bytes

/// The content of an event as it is stored: as in the log, but with its name and the names of its
/// top-level attributes as numbers of the project's `NameTable`.
///
/// Layout:
/// `name: UInt16 | label: prefixed | tagCount: varint | tags: prefixed each | fieldCount: varint`,
/// then per field `name: varint | packed value`. Equal contents have equal bytes.
enum EventContent {
    /// How translating ended.
    enum Outcome {
        case translated
        /// A name is not in the table, and none may be added.
        case unknownName
        /// A name is not in the table, and the table is at its limit.
        case namesExhausted
        /// Not an event's content.
        case malformed
    }

    /// Appends the stored form of `content` to `target`.
    ///
    /// - Parameter namesMax: How many names the table may come to have; 0 adds none.
    static func translate(
        _ content: UnsafeRawBufferPointer, names: NameTable, namesMax: Int,
        into target: inout ByteBuffer
    ) -> Outcome {
        var reader = ByteReader(content)
        var outcome = Outcome.translated
        guard let name = self.number(reader.readPrefixed(), names, namesMax, &outcome) else {
            return outcome
        }
        target.append(UInt16(name))
        let labelAndTags = reader.offset
        _ = reader.readPrefixed()
        var tags = reader.readVarint()
        while tags > 0, !reader.overrun {
            _ = reader.readPrefixed()
            tags -= 1
        }
        guard !reader.overrun else { return .malformed }
        target.append(UnsafeRawBufferPointer(rebasing: content[labelAndTags ..< reader.offset]))
        let attributes = reader.readPrefixed()
        guard reader.isAtCleanEnd else { return .malformed }
        guard attributes.count > 0 else {
            target.appendVarint(0)
            return .translated
        }
        var fields = ByteReader(attributes)
        var count = fields.readVarint()
        target.appendVarint(count)
        while count > 0 {
            guard let name = self.number(fields.readPrefixed(), names, namesMax, &outcome) else {
                return outcome
            }
            target.appendVarint(UInt64(name))
            let start = fields.offset
            guard PackedValue.skip(&fields, depth: 1) else { return .malformed }
            target.append(UnsafeRawBufferPointer(rebasing: attributes[start ..< fields.offset]))
            count -= 1
        }
        return fields.isAtCleanEnd ? .translated : .malformed
    }

    /// Appends a stored form with names again:
    /// `name, label: prefixed | tagCount: varint | tags: prefixed each | fieldCount: varint`, then
    /// per field `name: prefixed | packed value`.
    static func appendNamed(
        _ content: UnsafeRawBufferPointer, names: NameTable, to buffer: inout ByteBuffer
    ) {
        var reader = ByteReader(content)
        buffer.appendPrefixed(names.name(Int(reader.read(UInt16.self))))
        let labelAndTags = reader.offset
        _ = reader.readPrefixed()
        for _ in 0 ..< reader.readVarint() { _ = reader.readPrefixed() }
        buffer.append(UnsafeRawBufferPointer(rebasing: content[labelAndTags ..< reader.offset]))
        let count = reader.readVarint()
        buffer.appendVarint(count)
        for _ in 0 ..< count {
            buffer.appendPrefixed(names.name(Int(reader.readVarint())))
            let start = reader.offset
            guard PackedValue.skip(&reader, depth: 1) else {
                preconditionFailure("a stored event is whole")
            }
            buffer.append(UnsafeRawBufferPointer(rebasing: content[start ..< reader.offset]))
        }
    }

    private static func number(
        _ name: UnsafeRawBufferPointer, _ names: NameTable, _ namesMax: Int,
        _ outcome: inout Outcome
    ) -> Int? {
        guard name.count > 0, name.count <= NameTable.nameBytesMax else {
            outcome = .malformed
            return nil
        }
        if let number = names.find(name) { return number }
        guard names.count < namesMax else {
            outcome = namesMax == 0 ? .unknownName : .namesExhausted
            return nil
        }
        return names.add(name)
    }
}
