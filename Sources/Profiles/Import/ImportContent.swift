import Bytes

// What a loop derives from a chunk before its parts enter the log. Both are keyed with secrets of
// the directory, so that a chunk has the same after every restart, and no client can make two that
// are taken for each other.
//
// SAFETY: words are borrowed for the closure that hashes them; targets have the bytes of an id.

/// The fingerprint of all operations of a chunk: packed, in their order, without times of sending.
///
/// Each item keys the hash of the next one, so that their boundaries count.
package struct ImportContent {
    private var state: SipHashKey

    init(key: SipHashKey) {
        self.state = key
    }

    package var fingerprint: Fingerprint {
        Fingerprint(low: self.state.k0, high: self.state.k1)
    }

    /// Adds the next item, as it stands in a part.
    package mutating func add(_ item: UnsafeRawBufferPointer) {
        var reader = ByteReader(item)
        guard let view = BatchItemView(from: &reader), let field = view.sentAt else {
            return self.absorb(item)
        }
        var equal = ByteBuffer(capacity: item.count)
        let start = beginBatchItem(view.kind, in: &equal)
        Store.appendEqual(view.record.payload, without: field, requestID: 0 ..< 0, to: &equal)
        endBatchItem(at: start, operations: view.record.operations, in: &equal)
        self.absorb(equal.bytes)
    }

    /// Adds what tells a rejected item from others.
    package mutating func absorb(_ bytes: UnsafeRawBufferPointer) {
        let hash = SipHash.hash128(bytes, key: self.state)
        self.state = SipHashKey(k0: hash.low, k1: hash.high)
    }
}

/// The ids of a chunk's events that came without one: derived from the chunk's id, the index of the
/// operation and that of the event, so that a chunk that is sent again has the same ones, also when
/// it is no longer remembered.
package struct ImportEventIDs {
    private let key: SipHashKey

    init(key: SipHashKey) {
        self.key = key
    }

    /// Bytes of an id, which has the form of a ULID.
    package static let bytes = ProfileID.textBytes

    /// Writes the id of one event.
    ///
    /// - Parameter target: `bytes` bytes.
    package func write(
        operation: Int, event: Int, into target: UnsafeMutableRawBufferPointer
    ) {
        let hash = withUnsafeBytes(
            of: (UInt64(operation).littleEndian, UInt64(event).littleEndian)
        ) {
            SipHash.hash128($0, key: self.key)
        }
        ProfileID(high: hash.high, low: hash.low).writeText(into: target)
    }
}

extension Store {
    /// The content of a chunk before its first operation. Any thread.
    package func importContent() -> ImportContent { ImportContent(key: self.hash.importContent) }

    /// The ids of a chunk's events. Any thread.
    package func importEventIDs(chunkID: UnsafeRawBufferPointer) -> ImportEventIDs {
        ImportEventIDs(key: self.ids.importedEvents(chunkID: chunkID))
    }
}
