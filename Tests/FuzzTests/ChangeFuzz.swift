import Bytes
import Messages
import Profiles

/// What a watcher reads from the feed: change records, one behind the other.
enum ChangeFuzz {
    private static let store = Store(
        genesis: Genesis(
            directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
            secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))

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
        var output = ByteBuffer()
        while let change = try? reader.next() {
            precondition(reader.offset <= bytes.count, "a record ends after its bytes")
            let resolver = self.store.resolver(of: change.project)
            output.removeAll()
            let isWritten = encoder.encodeChange(change, resolver, into: &output)
            precondition(isWritten == (output.count > 0), "a malformed record has no response")
            for filter in self.filters { _ = filter.passes(change, resolver) }
            var erased = 0
            change.forEachErasedID { _ in erased += 1 }
            precondition(erased * ProfileID.binaryBytes <= change.bytes.count, "ids are bytes")
            _ = self.store.isErased(change.project, change.profileID)
        }
    }
}
