import Bytes

/// Compares the constant of one node with values.
///
/// `:` with a value is equality with one value, and holds for a list of which an element is equal.
struct FilterMatch {
    let node: FilterNode
    let constants: UnsafeRawBufferPointer
    /// The time of the call, in microseconds since 1970.
    let now: Int64

    // SAFETY: the builder of the filter laid out names and texts within its constants.
    var text: UnsafeRawBufferPointer {
        let start = Int(self.node.textStart)
        return UnsafeRawBufferPointer(
            rebasing: self.constants[start ..< start + Int(self.node.textBytes)])
    }

    /// At the first name of the field.
    var names: ByteReader {
        var reader = ByteReader(self.constants)
        reader.offset = Int(self.node.nameStart)
        return reader
    }

    /// The only name of the field.
    var name: UnsafeRawBufferPointer {
        var names = self.names
        return names.readPrefixed()
    }

    /// Whether the constant is `*`, which every value has.
    var isAnything: Bool { self.node.constant.isEmpty }

    // MARK: Values of one kind

    /// Whether the comparison holds for a text that is there.
    func holds(text value: UnsafeRawBufferPointer) -> Bool {
        guard self.node.constant.contains(.text) else { return self.isAnything }
        switch self.node.comparator {
        case .equal: return self.isPart(of: value)
        case .notEqual: return !self.isPart(of: value)
        case .has: return value.equals(self.text)
        case .less: return value.isOrderedBefore(self.text)
        case .greaterOrEqual: return !value.isOrderedBefore(self.text)
        case .greater: return self.text.isOrderedBefore(value)
        case .lessOrEqual: return !self.text.isOrderedBefore(value)
        }
    }

    /// Whether a text equals the constant, whose ends may be open.
    private func isPart(of value: UnsafeRawBufferPointer) -> Bool {
        let text = self.text
        let isOpenAtStart = self.node.constant.contains(.isOpenAtStart)
        let isOpenAtEnd = self.node.constant.contains(.isOpenAtEnd)
        guard isOpenAtStart || isOpenAtEnd else { return value.equals(text) }
        guard value.count >= text.count else { return false }
        if isOpenAtStart && isOpenAtEnd { return self.isContained(text, in: value) }
        let part =
            isOpenAtEnd ? value.prefix(text.count) : value.suffix(text.count)
        return UnsafeRawBufferPointer(rebasing: part).equals(text)
    }

    /// Whether a value contains a text; UTF-8 is found at the beginnings of scalars only.
    ///
    /// - Complexity: O(bytes of the value), whatever is repeated in both: clients choose them.
    /// - Source: Knuth, Morris and Pratt, with the table of `FilterBorders`.
    private func isContained(
        _ text: UnsafeRawBufferPointer, in value: UnsafeRawBufferPointer
    ) -> Bool {
        guard text.count > 0 else { return true }
        let table = Int(self.node.textStart) + text.count
        var matched = 0
        for byte in value {
            while matched > 0, text[matched] != byte {
                matched = FilterBorders.border(ofFirst: matched, self.constants, at: table)
            }
            if text[matched] == byte { matched += 1 }
            if matched == text.count { return true }
        }
        return false
    }

    /// Whether the comparison holds for a time that is there, in microseconds since 1970.
    func holds(time value: Int64) -> Bool {
        guard self.node.constant.contains(.time) else { return self.isAnything }
        let constant = self.node.filterTime.absolute(self.now)
        return self.node.comparator.holds(value < constant ? -1 : value == constant ? 0 : 1)
    }

    func holds(integer value: Int64) -> Bool {
        if self.node.constant.contains(.integer) {
            let constant = Int64(bitPattern: self.node.bits)
            return self.node.comparator.holds(value < constant ? -1 : value == constant ? 0 : 1)
        }
        guard self.node.constant.contains(.number) else { return self.isAnything }
        return self.node.comparator.holds(Self.order(value, Double(bitPattern: self.node.bits)))
    }

    func holds(number value: Double) -> Bool {
        if self.node.constant.contains(.integer) {
            return self.node.comparator.holds(
                -Self.order(Int64(bitPattern: self.node.bits), value))
        }
        guard self.node.constant.contains(.number) else { return self.isAnything }
        let constant = Double(bitPattern: self.node.bits)
        return self.node.comparator.holds(value < constant ? -1 : value == constant ? 0 : 1)
    }

    /// Exactly, without rounding the integer to a number.
    static func order(_ integer: Int64, _ number: Double) -> Int {
        // 2^63, which no integer of 64 bits reaches.
        guard number < 0x1p63 else { return -1 }
        guard number >= -0x1p63 else { return 1 }
        let whole = number.rounded(.towardZero)
        let other = Int64(whole)
        guard integer == other else { return integer < other ? -1 : 1 }
        return number > whole ? -1 : number < whole ? 1 : 0
    }

    func holds(boolean value: Bool) -> Bool {
        guard self.node.constant.contains(.boolean) else { return self.isAnything }
        let isEqual = value == (self.node.bits == 1)
        return self.node.comparator == .notEqual ? !isEqual : isEqual
    }

    /// Whether an enumerated value is equal, or is not.
    func holds(code value: UInt8) -> Bool {
        self.node.comparator.holds(UInt64(value) == self.node.bits ? 0 : 1)
    }

    // MARK: Values of any kind

    /// Whether the comparison holds for a value that is there. With a value of another kind it does
    /// not.
    func holds(_ value: FilterValue) -> Bool {
        var reader = value.reader
        switch value.tag {
        case .string, .url: return self.holds(text: reader.readPrefixed())
        case .integer:
            let zigzag = reader.readVarint()
            return self.holds(integer: Int64(bitPattern: zigzag >> 1 ^ (0 &- (zigzag & 1))))
        case .number: return self.holds(number: Double(bitPattern: reader.read()))
        case .no: return self.holds(boolean: false)
        case .yes: return self.holds(boolean: true)
        case .time: return self.holds(time: reader.read())
        case .list:
            guard !self.isAnything else { return true }
            guard self.node.comparator == .has else { return false }
            return value.hasElement { self.holds(text: $0) }
        case .object, .objects: return self.isAnything
        }
    }

    /// Whether the comparison holds for what a path leads to inside of a value.
    ///
    /// - Parameters:
    ///   - names: At the next name of the path.
    ///   - nameCount: Names left.
    func holds(_ value: FilterValue, _ names: ByteReader, _ nameCount: Int) -> Bool {
        guard nameCount > 0 else { return self.holds(value) }
        var (reader, names) = (value.reader, names)
        let name = names.readPrefixed()
        switch value.tag {
        case .object:
            guard let field = FilterValue.field(name, in: &reader) else { return false }
            return self.holds(field, names, nameCount - 1)
        case .objects:
            // As of AIP-160: `:` holds if any of the objects has such a field.
            guard self.node.comparator == .has else { return false }
            var left = reader.readVarint()
            while left > 0, !reader.overrun {
                if let field = FilterValue.field(name, in: &reader),
                    self.holds(field, names, nameCount - 1)
                {
                    return true
                }
                left -= 1
            }
            return false
        case .string, .integer, .number, .no, .yes, .time, .url, .list: return false
        }
    }

    /// Whether a literal is the value, an element of it or anything inside of it.
    func isFound(in value: FilterValue, depth: Int = 1) -> Bool {
        // More levels than any event has.
        guard depth <= FilterLimits.pathNamesMax + 1 else { return false }
        var reader = value.reader
        switch value.tag {
        case .list: return value.hasElement { self.holds(text: $0) }
        case .object: return self.isFound(inFieldsAt: &reader, depth)
        case .objects:
            var left = reader.readVarint()
            while left > 0, !reader.overrun {
                if self.isFound(inFieldsAt: &reader, depth) { return true }
                left -= 1
            }
            return false
        case .string, .integer, .number, .no, .yes, .time, .url: return self.holds(value)
        }
    }

    private func isFound(inFieldsAt reader: inout ByteReader, _ depth: Int) -> Bool {
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            _ = reader.readPrefixed()
            if let value = FilterValue(at: reader), self.isFound(in: value, depth: depth + 1) {
                return true
            }
            guard PackedValue.skip(&reader, depth: 1) else { return false }
            left -= 1
        }
        return false
    }
}
