import Bytes
import Messages

@testable import Profiles

/// What a watcher reads from the feed: change records, one behind the other.
enum ChangeFuzz {
    /// One whose names are as long as names are.
    private static let store: Store = {
        let store = Store(
            genesis: Genesis(
                directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
        for number in 0 ..< 8 {
            let letter = UInt8(ascii: "a") + UInt8(number)
            let count = number == 0 ? 1 : NameTable.nameBytesMax
            let name = [UInt8](repeating: letter, count: count)
            _ = name.withUnsafeBytes { store.project.names.add($0) }
        }
        return store
    }()

    /// One filter for each way through a record.
    private static let filters: [ChangeFilter] = {
        var names = ChangeFilter()
        names.eventNames = [Array("visit".utf8)]
        names.attributes = [Array("a".utf8)]
        var channels = ChangeFilter()
        channels.includesHistorical = true
        channels.insert(.sms)
        return [ChangeFilter(), names, channels]
    }()

    static func changes(_ bytes: UnsafeRawBufferPointer) {
        var reader = ChangeReader(bytes)
        let encoder = MessageEncoder()
        while let change = try? reader.next() {
            precondition(reader.offset <= bytes.count, "a record ends after its bytes")
            let resolver = self.store.resolver(of: change.project)
            self.encode(change, resolver, encoder)
            for filter in self.filters { _ = filter.passes(change, resolver) }
            var erased = 0
            change.forEachErasedID { _ in erased += 1 }
            precondition(erased * ProfileID.binaryBytes <= change.bytes.count, "ids are bytes")
            _ = self.store.isErased(change.project, change.profileID)
        }
    }

    /// A record is encoded as a message or not at all, whatever stands before it.
    private static func encode(
        _ change: ChangeView, _ resolver: ChangeResolver, _ encoder: MessageEncoder
    ) {
        var output = ByteBuffer()
        let isWritten = encoder.encodeChange(change, resolver, into: &output)
        precondition(isWritten == (output.count > 0), "a malformed record has no response")
        var again = ByteBuffer()
        again.append(UInt8(7))
        let isWrittenAgain = encoder.encodeChange(change, resolver, into: &again)
        precondition(
            isWritten == isWrittenAgain && again.bytes.dropFirst().elementsEqual(output.bytes),
            "a record has one response")
        guard isWritten else { return }
        // Both are read from the record again.
        if change.kind == .eventStored {
            let name = change.event.map { $0.name }
            precondition(name == ChangedEvent.name(in: change.detail), "an event has one name")
        }
        precondition(
            self.isMessage(output.bytes, depth: 3),
            "a response is no message")
    }

    /// Whether bytes are protobuf fields down to a depth: a response, its change, and a message in
    /// that. What a consent ledger has is quoted as it is.
    private static func isMessage(_ bytes: UnsafeRawBufferPointer, depth: Int) -> Bool {
        var reader = ByteReader(bytes)
        while reader.remaining > 0 {
            let tag = reader.readVarint()
            guard tag >> 3 >= 1 else { return false }
            switch tag & 7 {
            case 0: _ = reader.readVarint()
            case 2:
                let content = reader.readPrefixed()
                let isNested = depth == 3 ? tag >> 3 == 2 : [5, 6, 7, 8].contains(tag >> 3)
                if depth > 1, isNested, !self.isMessage(content, depth: depth - 1) { return false }
            case 1: _ = reader.read(UInt64.self)
            case 5: _ = reader.read(UInt32.self)
            default: return false
            }
            guard !reader.overrun else { return false }
        }
        return true
    }
}
