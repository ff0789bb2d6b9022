import Bytes

// SAFETY: what a scan found last belongs to the scan, which compares one profile at a time; the
// address of a name is compared and never followed.

/// What a filter is evaluated on: a profile, and in triggers an event.
///
/// Evaluation is generic over it, and so is compiled for each: no existential, no allocation. All
/// that it returns is borrowed, and valid during the evaluation.
protocol FilterSubject {
    var state: ProfileState { get }
    /// Empty: none.
    var customID: UnsafeRawBufferPointer { get }
    /// Times in microseconds since 1970.
    var createdAt: Int64 { get }
    var updatedAt: Int64 { get }
    var lastSeenAt: Int64 { get }
    var installationCount: Int { get }
    func hasInstallation(_ id: UnsafeRawBufferPointer) -> Bool
    /// A custom or native attribute; `nil`: the profile has none of this name.
    func attribute(_ name: UnsafeRawBufferPointer) -> FilterValue?
    /// Whether any attribute satisfies `body`.
    func hasAttribute(where body: (FilterValue) -> Bool) -> Bool
    /// `nil`: the profile has had no event of this name.
    func counter(_ name: UnsafeRawBufferPointer) -> CounterEntry?
    /// UNSET without a state.
    ///
    /// - Parameter topic: Empty: of the whole channel.
    func subscription(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> SubscriptionState
    /// Whether the address on a channel is suppressed for any reason.
    func isSuppressed(_ channel: Channel) -> Bool
    /// The event's content as `EventContent` lays it out; empty: there is no event.
    var event: UnsafeRawBufferPointer { get }
    /// The names of the event's attributes.
    var names: NameTable { get }
}

/// One value of an attribute or of an event, borrowed.
struct FilterValue {
    var tag: PackedTag
    /// At the byte behind the tag.
    var reader: ByteReader
    /// Each element of the list is preceded by the number of its stamp, as in `AttributePart`.
    var isStamped = false

    /// Reads the packed value that is next, without moving the reader; `nil` if it is malformed.
    init?(at reader: ByteReader) {
        var reader = reader
        guard let tag = PackedTag(rawValue: reader.read()), !reader.overrun else { return nil }
        self.tag = tag
        self.reader = reader
    }

    /// A list with stamps, whose count is next.
    init(listAt reader: ByteReader) {
        self.tag = .list
        self.reader = reader
        self.isStamped = true
    }

    /// Whether any element of a list satisfies `body`.
    @inline(__always)
    func hasElement(where body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        var reader = self.reader
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            if self.isStamped { _ = reader.readVarint() }
            if body(reader.readPrefixed()) { return true }
            left -= 1
        }
        return false
    }

    /// A field of an object that starts at its field list; `nil`: it has none of this name.
    static func field(_ name: UnsafeRawBufferPointer, in reader: inout ByteReader) -> FilterValue? {
        var found: FilterValue?
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            let isNamed = reader.readPrefixed().equals(name)
            if isNamed { found = FilterValue(at: reader) }
            guard PackedValue.skip(&reader, depth: 1) else { return nil }
            left -= 1
        }
        return found
    }
}

/// The numbers of the attributes that a scan found last: the profiles behind are compared by the
/// number, which a project gives to one name for ever.
struct FoundNames {
    /// Where each name is that was looked for (`nil`: none yet), and its number; most filters have
    /// fewer names.
    private var found = InlineArray<4, (text: UnsafeRawPointer?, number: Int)>(
        repeating: (nil, 0))
    /// The place of the next one.
    private var next = 0

    func number(of name: UnsafeRawBufferPointer) -> Int? {
        guard let text = name.baseAddress else { return nil }
        for index in self.found.indices where self.found[index].text == text {
            return self.found[index].number
        }
        return nil
    }

    mutating func note(_ name: UnsafeRawBufferPointer, number: Int) {
        self.found[self.next] = (name.baseAddress, number)
        self.next = (self.next + 1) % self.found.count
    }
}

extension AttributePart {
    /// The value of an attribute; `nil`: the profile has none of this name.
    ///
    /// Names are compared as texts: a reader's thread may not search the table of names, and may
    /// resolve the numbers of what it sees.
    ///
    /// - Parameter known: What the same scan found; its names are kept at their places.
    func filterValue(
        _ name: UnsafeRawBufferPointer, _ names: NameTable, totalBytes: Int,
        known: UnsafeMutablePointer<FoundNames>?
    ) -> FilterValue? {
        if let number = known?.pointee.number(of: name) {
            return self.filterValue(number, totalBytes: totalBytes)
        }
        var found: FilterValue?
        _ = self.hasFilterValue(totalBytes: totalBytes) { number, value in
            guard names.name(number).equals(name) else { return false }
            known?.pointee.note(name, number: number)
            found = value
            return true
        }
        return found
    }

    private func filterValue(_ number: Int, totalBytes: Int) -> FilterValue? {
        guard var reader = self.entry(number, totalBytes: totalBytes) else { return nil }
        let kind = Kind(rawValue: reader.read())
        guard kind == .value || kind == .list else { return nil }
        _ = reader.readVarint()
        return kind == .list ? FilterValue(listAt: reader) : FilterValue(at: reader)
    }

    /// Whether any attribute that a reader sees satisfies `body`.
    @inline(__always)
    func hasFilterValue(totalBytes: Int, _ body: (_ name: Int, FilterValue) -> Bool) -> Bool {
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let number = Int(reader.read(UInt16.self))
            switch Kind(rawValue: reader.read()) {
            case .value:
                _ = reader.readVarint()
                if let value = FilterValue(at: reader), body(number, value) { return true }
                _ = PackedValue.skip(&reader, depth: 1)
            case .list:
                var elements = reader
                _ = elements.readVarint()
                if body(number, FilterValue(listAt: elements)) { return true }
                Self.skipElements(&reader, .list)
            case .deleted, nil: Self.skipElements(&reader, .deleted)
            }
        }
        return false
    }
}

/// An event's content, taken apart for a filter.
struct FilterEvent {
    let label: UnsafeRawBufferPointer
    /// At the count of the tags.
    private let tagReader: ByteReader
    /// At the count of the fields.
    private let fieldReader: ByteReader

    /// - Parameter content: As `EventContent` lays it out.
    init(_ content: UnsafeRawBufferPointer) {
        var reader = ByteReader(content)
        _ = reader.read(UInt16.self)
        self.label = reader.readPrefixed()
        self.tagReader = reader
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            _ = reader.readPrefixed()
            left -= 1
        }
        self.fieldReader = reader
    }

    var hasTags: Bool {
        var reader = self.tagReader
        return reader.readVarint() > 0
    }

    func hasTag(where body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        var reader = self.tagReader
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            if body(reader.readPrefixed()) { return true }
            left -= 1
        }
        return false
    }

    /// Whether any attribute satisfies `body`.
    func hasField(where body: (_ name: Int, FilterValue) -> Bool) -> Bool {
        var reader = self.fieldReader
        var left = reader.readVarint()
        while left > 0, !reader.overrun {
            let number = Int(reader.readVarint())
            if let value = FilterValue(at: reader), body(number, value) { return true }
            guard PackedValue.skip(&reader, depth: 1) else { return false }
            left -= 1
        }
        return false
    }
}
