import Bytes

/// The content of an event as it is stored: as in the log, but with its name and the names of its top-level attributes
/// as numbers of the project's `NameTable`.
///
/// Layout: `name: UInt16 | label: prefixed | tagCount: varint | tags: prefixed each | fieldCount: varint`, then per field
/// `name: varint | packed value`. Equal contents have equal bytes.
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

    /// Objects inside objects that a value may have here; the contract allows three, this bounds the recursion.
    private static let depthMax = 16

    /// Appends the stored form of `content` to `target`.
    ///
    /// - Parameter namesMax: How many names the table may come to have; 0 adds none.
    static func translate(
        _ content: UnsafeRawBufferPointer, names: NameTable, namesMax: Int, into target: inout ByteBuffer
    ) -> Outcome {
        var reader = ByteReader(content)
        var outcome = Outcome.translated
        guard let name = self.number(reader.readPrefixed(), names, namesMax, &outcome) else { return outcome }
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
            guard let name = self.number(fields.readPrefixed(), names, namesMax, &outcome) else { return outcome }
            target.appendVarint(UInt64(name))
            let start = fields.offset
            guard self.skipValue(&fields, depth: 1) else { return .malformed }
            target.append(UnsafeRawBufferPointer(rebasing: attributes[start ..< fields.offset]))
            count -= 1
        }
        return fields.isAtCleanEnd ? .translated : .malformed
    }

    private static func number(
        _ name: UnsafeRawBufferPointer, _ names: NameTable, _ namesMax: Int, _ outcome: inout Outcome
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

    /// Moves past one packed value; false if it is none.
    private static func skipValue(_ reader: inout ByteReader, depth: Int) -> Bool {
        guard depth <= Self.depthMax, let tag = PackedTag(rawValue: reader.read()) else { return false }
        switch tag {
        case .string, .url: _ = reader.readPrefixed()
        case .integer: _ = reader.readVarint()
        case .number, .time: _ = reader.read(UInt64.self)
        case .no, .yes: break
        case .list:
            var count = reader.readVarint()
            while count > 0, !reader.overrun {
                _ = reader.readPrefixed()
                count -= 1
            }
        case .object: return self.skipFields(&reader, depth: depth + 1)
        case .objects:
            var count = reader.readVarint()
            while count > 0 {
                guard self.skipFields(&reader, depth: depth + 1) else { return false }
                count -= 1
            }
        }
        return !reader.overrun
    }

    private static func skipFields(_ reader: inout ByteReader, depth: Int) -> Bool {
        var count = reader.readVarint()
        while count > 0 {
            _ = reader.readPrefixed()
            guard self.skipValue(&reader, depth: depth) else { return false }
            count -= 1
        }
        return !reader.overrun
    }
}
