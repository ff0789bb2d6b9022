import Bytes

@testable import Profiles

/// Filters that clients send, on what is stored.
enum FilterFuzz {
    /// As 2026-01-01T00:00:00Z, in microseconds.
    private static let now: Int64 = 1_767_225_600_000_000

    // SAFETY: made once, never changed or freed.
    nonisolated(unsafe) private static let memory = FilterSample.Memory()

    /// Texts of filters, one after each NUL: the canonical form of one is a filter of the same
    /// canonical form, and matches the same.
    static func filter(_ bytes: UnsafeRawBufferPointer) {
        for part in bytes.split(separator: 0) {
            let text = String(decoding: part, as: UTF8.self)
            for scope in [FilterScope.profile, .trigger] { self.check(text, scope) }
        }
    }

    private static func check(_ text: String, _ scope: FilterScope) {
        let filter: CompiledFilter
        do throws(FilterError) {
            filter = try CompiledFilter(text, scope)
        } catch {
            // Behind the end at most, and behind the first character that is too many.
            precondition(
                1 ... text.unicodeScalars.count + 1 ~= error.column, "a column beside the text")
            precondition(!error.description.isEmpty)
            return
        }
        let again: CompiledFilter
        do throws(FilterError) {
            again = try CompiledFilter(filter.canonicalText, scope, charactersMax: .max)
        } catch {
            preconditionFailure("a canonical form is rejected: \(error.description)")
        }
        precondition(again.canonicalText == filter.canonicalText, "a canonical form is not its own")
        for hasEvent in [false, true] {
            let sample = FilterSample(self.memory, hasEvent: hasEvent)
            precondition(
                filter.matches(sample, now: self.now) == again.matches(sample, now: self.now),
                "a canonical form matches otherwise")
        }
    }
}

/// One profile with values of all kinds, and one event.
private struct FilterSample: FilterSubject {
    /// The packed parts, and what they are borrowed from.
    final class Memory {
        var attributes = ByteBuffer()
        var customID = ByteBuffer()
        var event = ByteBuffer()
        let names: NameTable
        private let nameBytes = UnsafeMutablePointer<Int>.allocate(capacity: 1)

        init() {
            self.nameBytes.initialize(to: 0)
            self.names = NameTable(
                hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: .max),
                totalBytes: self.nameBytes)
            self.customID.append("ann")
            var content = ByteBuffer()
            content.appendPrefixed("buy")
            content.appendPrefixed("web")
            content.appendVarint(1)
            content.appendPrefixed("sale")
            var fields = ByteBuffer()
            Self.appendFields(to: &fields)
            content.appendPrefixed(fields.bytes)
            let outcome = EventContent.translate(
                content.bytes, names: self.names, namesMax: 100, into: &self.event)
            precondition(outcome == .translated)
            Self.appendFields(to: &self.attributes)
        }

        private static func appendFields(to buffer: inout ByteBuffer) {
            buffer.appendVarint(9)
            buffer.appendPrefixed("a")
            Self.appendText("gold", to: &buffer)
            buffer.appendPrefixed("b")
            buffer.appendPacked(integer: 42)
            buffer.appendPrefixed("c")
            buffer.appendPacked(number: 2.5)
            buffer.appendPrefixed("d")
            buffer.appendPacked(boolean: true)
            buffer.appendPrefixed("e")
            buffer.appendPacked(timeMicroseconds: 1_700_000_000_000_000)
            buffer.appendPrefixed("email_address")
            Self.appendText("ann@example.com", to: &buffer)
            buffer.appendPrefixed("l")
            buffer.append(PackedTag.list.rawValue)
            buffer.appendVarint(2)
            buffer.appendPrefixed("x")
            buffer.appendPrefixed("y*")
            buffer.appendPrefixed("o")
            buffer.append(PackedTag.object.rawValue)
            Self.appendObject(to: &buffer)
            buffer.appendPrefixed("p")
            buffer.append(PackedTag.objects.rawValue)
            buffer.appendVarint(2)
            Self.appendObject(to: &buffer)
            Self.appendObject(to: &buffer)
        }

        private static func appendObject(to buffer: inout ByteBuffer) {
            buffer.appendVarint(1)
            buffer.appendPrefixed("a")
            Self.appendText("inner", to: &buffer)
        }

        private static func appendText(_ text: StaticString, to buffer: inout ByteBuffer) {
            buffer.append(PackedTag.string.rawValue)
            buffer.appendPrefixed(text)
        }
    }

    private let memory: Memory
    private let hasEvent: Bool

    init(_ memory: Memory, hasEvent: Bool) {
        self.memory = memory
        self.hasEvent = hasEvent
    }

    var state: ProfileState { .identified }
    var customID: UnsafeRawBufferPointer { self.memory.customID.bytes }
    var createdAt: Int64 { 1_700_000_000_000_000 }
    var updatedAt: Int64 { 1_760_000_000_000_000 }
    var lastSeenAt: Int64 { 1_767_000_000_000_000 }
    var installationCount: Int { 1 }
    var names: NameTable { self.memory.names }
    var event: UnsafeRawBufferPointer {
        self.hasEvent ? self.memory.event.bytes : .none
    }

    func hasInstallation(_ id: UnsafeRawBufferPointer) -> Bool { id.equals(self.customID) }

    func attribute(_ name: UnsafeRawBufferPointer) -> FilterValue? {
        var reader = ByteReader(self.memory.attributes.bytes)
        return FilterValue.field(name, in: &reader)
    }

    func hasAttribute(where body: (FilterValue) -> Bool) -> Bool {
        var reader = ByteReader(self.memory.attributes.bytes)
        for _ in 0 ..< reader.readVarint() {
            _ = reader.readPrefixed()
            if let value = FilterValue(at: reader), body(value) { return true }
            guard PackedValue.skip(&reader, depth: 1) else { return false }
        }
        return false
    }

    func counter(_ name: UnsafeRawBufferPointer) -> CounterEntry? {
        CounterEntry(name: 0, count: 3, first: self.createdAt, last: self.lastSeenAt)
    }

    func subscription(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> SubscriptionState {
        topic.count > 0 ? .unset : .subscribed
    }

    func isSuppressed(_ channel: Channel) -> Bool { channel == .sms }
}

extension ByteBuffer {
    fileprivate mutating func appendPrefixed(_ text: StaticString) {
        self.appendPrefixed(
            UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
