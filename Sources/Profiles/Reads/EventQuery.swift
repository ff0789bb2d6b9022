import Bytes

/// Which events of a profile a listing shows; texts borrowed.
package struct EventQuery {
    /// In lower case; empty: all.
    package var names: [UnsafeRawBufferPointer] = []
    /// Inclusive, in microseconds since 1970; `nil`: from the beginning.
    package var from: Int64?
    /// Exclusive; `nil`: to the end.
    package var to: Int64?
    package var isOldestFirst = false
    package var pageSize: Int

    package init(pageSize: Int) {
        self.pageSize = pageSize
    }

    /// Appends what makes one listing: everything but the size of its pages.
    func writeFilter(_ identifier: IdentifierView, into buffer: inout ByteBuffer) {
        buffer.append(identifier.kind.rawValue)
        buffer.appendPrefixed(identifier.bytes)
        buffer.append(UInt8(self.isOldestFirst ? 1 : 0))
        buffer.append(self.from ?? .min)
        buffer.append(self.to ?? .max)
        buffer.appendVarint(UInt64(self.names.count))
        for name in self.names { buffer.appendPrefixed(name) }
    }
}

/// The position of an event among a profile's: by effective time, then by lsn. Events that come
/// later have places of their own, so a listing continues where it ended.
package struct EventPosition: Equatable, Comparable, Sendable {
    /// Microseconds since 1970.
    package var effectiveTime: Int64
    package var lsn: UInt64

    package init(effectiveTime: Int64, lsn: UInt64) {
        self.effectiveTime = effectiveTime
        self.lsn = lsn
    }

    package static func < (left: EventPosition, right: EventPosition) -> Bool {
        (left.effectiveTime, left.lsn) < (right.effectiveTime, right.lsn)
    }
}

/// In a token: of the last event shown.
extension EventPosition: PagePosition {
    static let tokenKind: UInt8 = 4

    init(from reader: inout ByteReader) {
        self.init(effectiveTime: reader.read(), lsn: reader.read())
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.effectiveTime)
        buffer.append(self.lsn)
    }
}

/// A page of a listing, without its events, whose images are in the buffer.
package struct EventPage {
    package var eventCount = 0
    /// Of the last event, when more follow.
    package var next: EventPosition?
    /// What was asked for begins before what is retained.
    package var isTruncated = false
    /// The identifier is an alias.
    package var isRedirected = false
    /// Every record up to this lsn is part of what was read.
    package var appliedLSN: UInt64 = 0
}

/// One event of a page, borrowed from its image.
///
/// Layout:
/// `effectiveTime, receivedAt: Int64 µs | lsn: UInt64 | isHistorical, platform, identifier kind:
/// UInt8 | identifier, eventID, sourceName, name, label: prefixed | tagCount: varint | tags:
/// prefixed each | fieldCount: varint`, then per field `name: prefixed | packed value`.
package struct StoredEventView {
    package var position: EventPosition
    package var receivedAt: Int64
    package var isHistorical: Bool
    package var platform: UInt8
    package var identifier: IdentifierView
    package var eventID: UnsafeRawBufferPointer
    package var sourceName: UnsafeRawBufferPointer
    package var name: UnsafeRawBufferPointer
    package var label: UnsafeRawBufferPointer

    /// Reads an image up to its tags, which follow in `reader` with the fields.
    package init?(from reader: inout ByteReader) {
        let effectiveTime = reader.read(Int64.self)
        self.receivedAt = reader.read()
        self.position = EventPosition(effectiveTime: effectiveTime, lsn: reader.read())
        self.isHistorical = reader.read(UInt8.self) != 0
        self.platform = reader.read()
        guard let kind = IdentifierKind(rawValue: reader.read()) else { return nil }
        self.identifier = IdentifierView(kind: kind, bytes: reader.readPrefixed())
        self.eventID = reader.readPrefixed()
        self.sourceName = reader.readPrefixed()
        self.name = reader.readPrefixed()
        self.label = reader.readPrefixed()
        guard !reader.overrun else { return nil }
    }
}
