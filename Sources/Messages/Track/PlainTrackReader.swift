import Bytes
import CMessages
import Profiles

/// What of a plain Track is needed beside its payload; borrowed from the message.
struct PlainTrack {
    var project: UnsafeRawBufferPointer
    var eventCount: Int
    var sequence: UInt64
}

/// Reads a plain Track from the wire into the payload of its record, in one pass and without
/// protobuf-c.
///
/// Nearly every Track names a person or a device, has a few events with scalar attributes, and has
/// nothing wrong. Of such a one nothing needs to be said, so nothing needs to be kept: it is
/// checked, validated and written where it stands. Whatever else there is (a field or a kind that
/// is rare, two of what may be one, anything that is not allowed) is not evaluated here: the
/// reader stops, and the message goes the long way by `WireCheck`, protobuf-c and `ValuePacker`,
/// which alone decide what is wrong and how it is said. What the reader accepts the long way
/// accepts with the same bytes; `PlainTrackTests` hold the two together. Budget: no allocation once
/// its buffers have grown (docs/decisions/0103-plain-tracks.md).
struct PlainTrackReader: ~Copyable {
    /// Larger messages go the long way: lengths have two bytes at most here.
    private static let bytesMax = 16 << 10
    private static let varintBytesMax = 10

    /// Bytes of the message.
    private typealias Span = UnsafeBufferPointer<UInt8>

    /// An attribute: its name and its `Value`.
    private struct Field {
        var name: Span
        var value: Span
    }

    /// The payload that `read` wrote, for project 0.
    private(set) var payload = ByteBuffer(capacity: 1 << 10)
    /// The attributes of one event, before their length is known.
    private var attributes = ByteBuffer(capacity: 1 << 10)
    /// The operation of an import that is being read; `nil`: it is a call.
    private var imported: ImportedOperation?
    private let events: UnsafeMutablePointer<Span>
    private let fields: UnsafeMutablePointer<Field>

    init() {
        self.events = .allocate(capacity: WireLimits.eventsMax)
        self.fields = .allocate(capacity: ValuePacker.fieldsMax)
    }

    deinit {
        self.events.deallocate()
        self.fields.deallocate()
    }

    /// Reads a TrackRequest; `nil`: it is not plain, and `payload` means nothing.
    mutating func read(_ message: UnsafeRawBufferPointer) -> PlainTrack? {
        guard message.count <= Self.bytesMax else { return nil }
        // SAFETY: bytes may be read as `UInt8` wherever they are; the cursor is used during this
        // call only, and checks every read against the end.
        return self.readRequest(message.bindMemory(to: UInt8.self))
    }

    /// Reads a WriteOperation of an import that is a Track; `nil`: it is not plain, and `payload`
    /// means nothing.
    mutating func read(
        _ operation: UnsafeRawBufferPointer, of imported: ImportedOperation
    ) -> PlainTrack? {
        guard operation.count <= Self.bytesMax else { return nil }
        // SAFETY: as above.
        var cursor = Cursor(operation.bindMemory(to: UInt8.self))
        guard cursor.tag() == 2 << 3 | 2, let track = cursor.span(), cursor.isAtEnd else {
            return nil
        }
        self.imported = imported
        defer { self.imported = nil }
        return self.readRequest(track)
    }

    private mutating func readRequest(_ message: Span) -> PlainTrack? {
        var cursor = Cursor(message)
        var parts = Parts()
        while let tag = cursor.tag() {
            guard self.read(tag, &cursor, into: &parts) else { return nil }
        }
        guard parts.eventCount > 0, self.isAllowed(project: parts.project),
            self.imported == nil || parts.areImportable
        else { return nil }
        if self.imported != nil { parts.flags.insert(.historical) }
        guard self.writeHeader(parts) else { return nil }
        for number in 0 ..< parts.eventCount {
            guard self.writeEvent(self.events[number], number) else { return nil }
        }
        return PlainTrack(
            project: UnsafeRawBufferPointer(parts.project), eventCount: parts.eventCount,
            sequence: parts.sequence)
    }

    // MARK: The request

    private func isAllowed(project: Span) -> Bool {
        let name = UnsafeRawBufferPointer(project)
        guard let imported = self.imported else { return TextRules.isProject(name) }
        return name.isEmpty || name.elementsEqual(imported.project)
    }

    /// The fields of a request, as they came.
    private struct Parts {
        var project = Span(start: nil, count: 0)
        var requestID = Span(start: nil, count: 0)
        var identifier: Span?
        var sentAt: Span?
        var source: Span?
        var expectedRevision: Span?
        var flags = TrackFlags(rawValue: 0)
        var sequence: UInt64 = 0
        var eventCount = 0
        /// Singular fields that came: bit `1 << number`.
        var seen: UInt16 = 0

        /// It has nothing that an operation of an import may not have.
        var areImportable: Bool { self.requestID.isEmpty && self.expectedRevision == nil }

        /// Notes a singular field; false if it was there before.
        mutating func isFirst(_ tag: UInt8) -> Bool {
            let bit = UInt16(1) << UInt16(tag >> 3)
            defer { self.seen |= bit }
            return self.seen & bit == 0
        }
    }

    /// Tags: `number << 3 | wire type`, of the contract's `TrackRequest`.
    private func read(_ tag: UInt8, _ cursor: inout Cursor, into parts: inout Parts) -> Bool {
        if tag == 4 << 3 | 2 {
            guard parts.eventCount < WireLimits.eventsMax, let event = cursor.span() else {
                return false
            }
            (self.events + parts.eventCount).initialize(to: event)
            parts.eventCount += 1
            return true
        }
        guard parts.isFirst(tag) else { return false }
        switch tag {
        case 1 << 3 | 2, 2 << 3 | 2, 3 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2, 10 << 3 | 2:
            guard let span = cursor.span() else { return false }
            switch tag >> 3 {
            case 1: parts.project = span
            case 2: parts.requestID = span
            case 3: parts.identifier = span
            case 5: parts.sentAt = span
            case 6: parts.source = span
            default: parts.expectedRevision = span
            }
        case 7 << 3, 8 << 3, 9 << 3:
            guard let isSet = cursor.boolean() else { return false }
            let flag: TrackFlags =
                tag == 7 << 3 ? .allowPartial : tag == 8 << 3 ? .historical : .mustExist
            if isSet { parts.flags.insert(flag) }
        case 11 << 3:
            guard let sequence = cursor.varint() else { return false }
            parts.sequence = sequence
        default: return false
        }
        return true
    }

    private mutating func writeHeader(_ parts: Parts) -> Bool {
        guard let identifier = parts.identifier.flatMap(Self.identifier), Self.isID(parts.requestID)
        else { return false }
        var header = TrackHeader(
            project: ProjectID(rawValue: 0), flags: parts.flags, platform: 0,
            eventCount: parts.eventCount, identifier: identifier,
            requestID: UnsafeRawBufferPointer(parts.requestID),
            sourceName: UnsafeRawBufferPointer(start: nil, count: 0), sentAt: 0,
            expectedRevision: 0)
        if let span = parts.sentAt {
            guard let time = Self.time(span) else { return false }
            header.flags.insert(.hasSentAt)
            header.sentAt = time
        }
        if let span = parts.source {
            guard let source = Self.source(span) else { return false }
            (header.platform, header.sourceName) = source
        }
        if let span = parts.expectedRevision {
            var cursor = Cursor(span)
            if let tag = cursor.tag() {
                guard tag == 1 << 3, let revision = cursor.varint(), cursor.isAtEnd else {
                    return false
                }
                header.expectedRevision = revision
            }
            header.flags.insert(.hasExpectedRevision)
        }
        self.payload.removeAll()
        header.write(into: &self.payload)
        return true
    }

    /// A custom or an installation id; profile ids go the long way.
    private static func identifier(_ span: Span) -> IdentifierView? {
        var cursor = Cursor(span)
        guard let tag = cursor.tag(), tag == 2 << 3 | 2 || tag == 3 << 3 | 2,
            let text = cursor.span(), cursor.isAtEnd
        else { return nil }
        let bytes = UnsafeRawBufferPointer(text)
        guard Self.isLine(text, scalarsMax: TextRules.identifierScalarsMax),
            bytes.count <= TextRules.identifierBytesMax,
            !TextRules.isReserved(bytes)
        else { return nil }
        return IdentifierView(kind: tag == 2 << 3 | 2 ? .customID : .installationID, bytes: bytes)
    }

    private static func source(_ span: Span) -> (platform: UInt8, name: UnsafeRawBufferPointer)? {
        var cursor = Cursor(span)
        var (platform, name) = (UInt8(0), Span(start: nil, count: 0))
        var next = cursor.tag()
        if next == 1 << 3 {
            guard let value = cursor.varint(), value <= UInt8.max,
                Platform(rawValue: UInt8(value)) != nil
            else { return nil }
            platform = UInt8(value)
            next = cursor.tag()
        }
        if next == 2 << 3 | 2 {
            guard let text = cursor.span(),
                text.isEmpty || Self.isLine(text, scalarsMax: TextRules.sourceNameScalarsMax)
            else { return nil }
            name = text
            next = cursor.tag()
        }
        return next == nil && cursor.isAtEnd ? (platform, UnsafeRawBufferPointer(name)) : nil
    }

    // MARK: Events

    private mutating func writeEvent(_ event: Span, _ number: Int) -> Bool {
        var cursor = Cursor(event)
        let none = Span(start: nil, count: 0)
        var (id, name, label) = (none, none, none)
        var time: Span?
        var fieldCount = 0
        var seen: UInt8 = 0
        while let tag = cursor.tag() {
            guard tag & 7 == 2, let span = cursor.span() else { return false }
            if tag == 3 << 3 | 2 {
                guard fieldCount < ValuePacker.fieldsMax, let field = Self.field(span),
                    self.insert(field, behind: fieldCount)
                else { return false }
                fieldCount += 1
                continue
            }
            guard tag < 6 << 3, seen & 1 << (tag >> 3) == 0 else { return false }
            seen |= 1 << (tag >> 3)
            switch tag >> 3 {
            case 1: id = span
            case 2: name = span
            case 4: time = span
            case 5: label = span
            default: return false
            }
        }
        guard cursor.isAtEnd, Self.isID(id),
            label.isEmpty || Self.isLine(label, scalarsMax: TextRules.labelScalarsMax)
        else { return false }
        self.payload.append(time == nil ? UInt8(0) : TrackEventFlags.hasOccurredAt.rawValue)
        if let imported = self.imported, id.isEmpty {
            imported.appendEventID(number, to: &self.payload)
        } else {
            self.payload.appendPrefixed(UnsafeRawBufferPointer(id))
        }
        if let time {
            guard let occurredAt = Self.time(time) else { return false }
            self.payload.append(occurredAt)
        }
        guard ValuePacker.appendName(UnsafeRawBufferPointer(name), into: &self.payload) else {
            return false
        }
        self.payload.appendPrefixed(UnsafeRawBufferPointer(label))
        // No tags: they are rare.
        self.payload.append(UInt8(0))
        return self.writeAttributes(fieldCount)
    }

    /// An entry of the map: the name, then the value, and nothing else.
    private static func field(_ entry: Span) -> Field? {
        var cursor = Cursor(entry)
        guard cursor.tag() == 1 << 3 | 2, let name = cursor.span(), cursor.tag() == 2 << 3 | 2,
            let value = cursor.span(), cursor.isAtEnd
        else { return nil }
        return Field(name: name, value: value)
    }

    /// Puts a field in its place by its lower-case name; most clients send them sorted or few.
    /// False if the name was there before.
    private func insert(_ field: Field, behind count: Int) -> Bool {
        var position = count
        let name = UnsafeRawBufferPointer(field.name)
        while position > 0 {
            let order = ValuePacker.compare(
                name, UnsafeRawBufferPointer(self.fields[position - 1].name))
            guard order != 0 else { return false }
            if order > 0 { break }
            position -= 1
        }
        for index in stride(from: count, to: position, by: -1) {
            (self.fields + index).initialize(to: self.fields[index - 1])
        }
        (self.fields + position).initialize(to: field)
        return true
    }

    private mutating func writeAttributes(_ count: Int) -> Bool {
        self.attributes.removeAll()
        self.attributes.appendVarint(UInt64(count))
        for index in 0 ..< count {
            let name = UnsafeRawBufferPointer(self.fields[index].name)
            guard ValuePacker.appendName(name, into: &self.attributes),
                self.writeValue(self.fields[index].value)
            else { return false }
        }
        self.payload.appendPrefixed(self.attributes.bytes)
        return true
    }

    /// Appends a scalar; lists and objects go the long way.
    private mutating func writeValue(_ value: Span) -> Bool {
        var cursor = Cursor(value)
        switch cursor.tag() {
        case 1 << 3 | 2:
            guard let text = cursor.span(),
                Self.isLine(text, scalarsMax: TextRules.stringScalarsMax)
            else { return false }
            self.attributes.appendPacked(text: UnsafeRawBufferPointer(text), isURL: false)
        case 2 << 3:
            guard let integer = cursor.varint() else { return false }
            self.attributes.appendPacked(integer: Int64(bitPattern: integer))
        case 3 << 3 | 1:
            guard let bits = cursor.fixed64(), Double(bitPattern: bits).isFinite else {
                return false
            }
            self.attributes.appendPacked(number: Double(bitPattern: bits))
        case 4 << 3:
            guard let boolean = cursor.boolean() else { return false }
            self.attributes.appendPacked(boolean: boolean)
        case 5 << 3 | 2:
            guard let span = cursor.span(),
                let time = Self.time(span, from: TimeRules.valueSecondsMin)
            else { return false }
            self.attributes.appendPacked(timeMicroseconds: time)
        default: return false
        }
        return cursor.isAtEnd
    }

    // MARK: Texts and times

    /// UTF-8 without NUL.
    private static func isText(_ text: Span) -> Bool {
        UTF8Rules.validity(UnsafeRawBufferPointer(text)) == .valid
    }

    private static func isID(_ text: Span) -> Bool {
        text.count <= TextRules.idBytesMax && Self.isText(text)
    }

    /// A text of one line that is not blank. Visible ASCII, which most are, is seen in one pass.
    private static func isLine(_ text: Span, scalarsMax: Int) -> Bool {
        var isVisible = text.count <= scalarsMax
        var isBlank = true
        for byte in text {
            if byte &- 0x20 >= 0x5F { isVisible = false }
            if byte != 0x20 { isBlank = false }
        }
        if isVisible, !isBlank { return true }
        return Self.isText(text)
            && TextRules.stringError(
                UnsafeRawBufferPointer(text), scalarsMax: scalarsMax, oneLine: true) == nil
    }

    /// A timestamp, in microseconds.
    private static func time(_ span: Span, from secondsMin: Int64 = TimeRules.secondsMin)
        -> Int64?
    {
        var cursor = Cursor(span)
        var time = Google__Protobuf__Timestamp()
        var next = cursor.tag()
        if next == 1 << 3 {
            guard let seconds = cursor.varint() else { return nil }
            time.seconds = Int64(bitPattern: seconds)
            next = cursor.tag()
        }
        if next == 2 << 3 {
            guard let nanos = cursor.varint(), nanos <= UInt64(Int32.max) else { return nil }
            time.nanos = Int32(nanos)
            next = cursor.tag()
        }
        return next == nil && cursor.isAtEnd
            ? TimeRules.microseconds(time, from: secondsMin) : nil
    }

    /// A place in a message.
    private struct Cursor {
        // SAFETY: `next <= end`, and nothing is read at or behind `end`; both lie in the message,
        // which outlives the reading.
        private var next: UnsafePointer<UInt8>?
        private let end: UnsafePointer<UInt8>?

        init(_ span: Span) {
            self.next = span.baseAddress
            self.end = span.baseAddress.map { $0 + span.count }
        }

        var isAtEnd: Bool { self.next == self.end }

        /// The next byte, as a tag; `nil` at the end.
        mutating func tag() -> UInt8? {
            guard let byte = self.next, byte != self.end else { return nil }
            self.next = byte + 1
            return byte.pointee
        }

        /// A length of one or two bytes, and as many bytes.
        mutating func span() -> Span? {
            guard let first = self.tag() else { return nil }
            var length = Int(first)
            if length >= 0x80 {
                guard let second = self.tag(), second < 0x80 else { return nil }
                length = length & 0x7F | Int(second) << 7
            }
            guard let start = self.next, let end = self.end, length <= end - start else {
                return nil
            }
            self.next = start + length
            return Span(start: start, count: length)
        }

        mutating func varint() -> UInt64? {
            var value: UInt64 = 0
            for index in 0 ..< PlainTrackReader.varintBytesMax {
                guard let byte = self.tag(), index < 9 || byte <= 1 else { return nil }
                value |= UInt64(byte & 0x7F) << UInt64(index * 7)
                if byte < 0x80 { return value }
            }
            return nil
        }

        /// A varint of one byte that is not 0.
        mutating func boolean() -> Bool? {
            guard let byte = self.tag(), byte < 0x80 else { return nil }
            return byte != 0
        }

        mutating func fixed64() -> UInt64? {
            guard let start = self.next, let end = self.end, end - start >= 8 else { return nil }
            self.next = start + 8
            return UInt64(littleEndian: UnsafeRawPointer(start).loadUnaligned(as: UInt64.self))
        }
    }
}
