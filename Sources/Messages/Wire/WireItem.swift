import Bytes

// SAFETY: the messages are borrowed for the call; every read is preceded by a comparison with the
// end, and ranges were cut from the message that they are applied to.

/// An item of a message, of which something is wrong: one event of a Track.
struct WireItem: Equatable {
    /// Among the items of its message.
    var index: Int
    /// Offsets in the message that was checked.
    var content: Range<Int>
    /// With paths from the root of that message.
    var violations = Violations()
}

/// What `WireCheck` has found in a message that is protobuf.
struct WireFindings: Equatable {
    /// Of the message itself, outside of its items.
    var violations = Violations()
    /// The items of which something is wrong, in their order.
    var items: [WireItem] = []

    var isEmpty: Bool { self.violations.isEmpty && self.items.isEmpty }

    /// Everything that was found, the message's own violations first.
    var all: Violations {
        var all = self.violations
        for item in self.items {
            if all.index == nil { all.index = item.index }
            all.add(item.violations)
        }
        return all
    }

    /// Appends the message with every item of `items` emptied, so that the others can be decoded
    /// and keep their indexes.
    ///
    /// - Parameter message: What was checked; good but for `items`.
    /// - Complexity: O(bytes of the message).
    func appendGoodPart(of message: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
        self.appendGoodPart(of: message, 0 ..< message.count, to: &output)
    }

    private func appendGoodPart(
        of message: UnsafeRawBufferPointer, _ range: Range<Int>, to output: inout ByteBuffer
    ) {
        var fields = WireFieldReader(message, range)
        while let field = fields.next() {
            let holdsItem = self.items.contains {
                field.content.lowerBound <= $0.content.lowerBound
                    && $0.content.upperBound <= field.content.upperBound
            }
            guard field.wireType == 2, holdsItem else {
                output.append(UnsafeRawBufferPointer(rebasing: message[field.whole]))
                continue
            }
            output.appendVarint(field.tag)
            guard !self.items.contains(where: { $0.content == field.content }) else {
                output.appendVarint(0)
                continue
            }
            var part = ByteBuffer(capacity: field.content.count)
            self.appendGoodPart(of: message, field.content, to: &part)
            output.appendPrefixed(part.bytes)
        }
    }
}

/// Reads the fields of one message one by one, without a schema.
///
/// It ends at the end of the message, or at the first byte that is not protobuf: see `isAtEnd`.
struct WireFieldReader {
    /// One field.
    struct Field {
        var tag: UInt64
        /// Offsets in the message: tag, length and content.
        var whole: Range<Int>
        /// Of a length-delimited field: what follows its length.
        var content: Range<Int>

        var number: UInt64 { self.tag >> 3 }
        var wireType: UInt64 { self.tag & 7 }
    }

    private let message: UnsafeRawBufferPointer
    private let end: Int
    private var offset: Int

    /// - Parameter range: The part of `message` that is read; offsets count from the start of
    ///   `message`.
    init(_ message: UnsafeRawBufferPointer, _ range: Range<Int>? = nil) {
        self.message = message
        self.offset = range?.lowerBound ?? 0
        self.end = range?.upperBound ?? message.count
    }

    /// Whether everything was read; false after `next` has returned `nil`: the rest is not
    /// protobuf.
    var isAtEnd: Bool { self.offset == self.end }

    /// The next field; `nil`: there is none, or it is not protobuf.
    mutating func next() -> Field? {
        let start = self.offset
        var next = start
        guard start < self.end, let tag = WireCheck.varint(self.message, &next, self.end),
            1 ... 536_870_911 ~= tag >> 3
        else { return nil }
        var contentStart = next
        switch tag & 7 {
        case 0:
            guard WireCheck.varint(self.message, &next, self.end) != nil else { return nil }
        case 1: next += 8
        case 2:
            guard let length = WireCheck.varint(self.message, &next, self.end),
                length <= UInt64(self.end - next)
            else { return nil }
            contentStart = next
            next += Int(length)
        case 5: next += 4
        default: return nil
        }
        guard next <= self.end else { return nil }
        self.offset = next
        return Field(tag: tag, whole: start ..< next, content: contentStart ..< next)
    }
}

/// Cuts a message at its top level into its items and everything else, so that each item can be
/// decoded by itself; its storage is kept.
///
/// BatchWriteRequest and ImportProfilesRequest have this shape.
struct WireSplitter: ~Copyable {
    /// Everything but the items: a message of the same type.
    private(set) var envelope = ByteBuffer(capacity: 1 << 10)
    /// Offsets of the items in the message, at most as many as are allowed.
    private(set) var items: [Range<Int>] = []
    /// Items, also those over the limit.
    private(set) var itemCount = 0

    /// - Parameters:
    ///   - field: Number of the repeated message field that holds the items.
    ///   - itemsMax: Items that are kept; further ones are counted only.
    /// - Returns: What is wrong with the bytes; `nil`: they were cut.
    /// - Complexity: O(fields at the top level), and a copy of the envelope.
    mutating func split(
        _ message: UnsafeRawBufferPointer, itemsIn field: UInt64, itemsMax: Int
    ) -> String? {
        self.envelope.removeAll()
        self.items.removeAll(keepingCapacity: true)
        self.itemCount = 0
        var fields = WireFieldReader(message)
        while let next = fields.next() {
            guard next.number == field else {
                self.envelope.append(UnsafeRawBufferPointer(rebasing: message[next.whole]))
                continue
            }
            guard next.wireType == 2 else { return "a field of another wire type" }
            self.itemCount += 1
            if self.itemCount <= itemsMax { self.items.append(next.content) }
        }
        return fields.isAtEnd ? nil : "a field that does not end, or has an invalid tag"
    }
}

/// Counts what the accounting counts (events, attribute writes, subscription changes) in requests
/// that cannot be decoded, as far as their bytes can be read.
enum WireItemCounter {
    /// Items of a Track or UpdateSubscription.
    private static let listField: UInt64 = 4
    /// `IdentifyRequest.attributes`, and `AttributePatch.native` in it.
    private static let attributesField: UInt64 = 6
    private static let nativeField: UInt64 = 5

    /// - Parameter root: Index of the request's schema; requests without items have none.
    /// - Complexity: O(fields at the top levels).
    static func count(
        in message: UnsafeRawBufferPointer, root: Int, schema: WireSchema = .shared
    ) -> Int {
        switch root {
        case schema.trackRequest.index, schema.updateSubscriptionRequest.index:
            return Self.sum(message) { number, _ in number == Self.listField ? 1 : 0 }
        case schema.identifyRequest.index: return Self.attributeCount(in: message)
        case schema.writeOperation.index:
            return Self.sum(message) { number, content in
                switch number {
                case 1: Self.count(in: content, root: schema.identifyRequest.index)
                case 2: Self.count(in: content, root: schema.trackRequest.index)
                case 3: Self.count(in: content, root: schema.updateSubscriptionRequest.index)
                default: 0
                }
            }
        case schema.batchWriteRequest.index, schema.importProfilesRequest.index:
            return Self.sum(message) { number, content in
                number == MessageDecoder.operationsField
                    ? Self.count(in: content, root: schema.writeOperation.index) : 0
            }
        default: return 0
        }
    }

    /// Names in the patch of an Identify.
    private static func attributeCount(in message: UnsafeRawBufferPointer) -> Int {
        Self.sum(message) { number, content in
            guard number == Self.attributesField else { return 0 }
            return Self.sum(content) { number, content in
                switch number {
                case 1 ... 4: 1
                case Self.nativeField: Self.sum(content) { number, _ in number <= 5 ? 1 : 0 }
                default: 0
                }
            }
        }
    }

    /// The sum over the length-delimited fields of a message.
    private static func sum(
        _ message: UnsafeRawBufferPointer, _ count: (UInt64, UnsafeRawBufferPointer) -> Int
    ) -> Int {
        var reader = WireFieldReader(message)
        var sum = 0
        while let field = reader.next() {
            guard field.wireType == 2 else { continue }
            sum += count(field.number, UnsafeRawBufferPointer(rebasing: message[field.content]))
        }
        return sum
    }
}
