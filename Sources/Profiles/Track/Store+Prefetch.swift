import Bytes

// A Track touches ten places of memory that nothing has touched for a while: the slot of its
// identifier, the profile's header, its parts, its first and last event. Each is found through the
// one before, so a call alone waits for them one after the other. The applier knows the calls that
// come next; looking at one place of all of them, then at the next place of all, makes the waits
// overlap.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them. `expected` has `prefetchMax` elements, of which `expectedCount` are initialised.

/// What the prefetch found out of one Track.
struct ExpectedTrack {
    /// Of the record's first operation.
    var lsn: UInt64
    var receivedAt: Int64
    var identifierHash: UInt64
    /// Of its only event, if the server makes that one's id: the id, and its hash under the
    /// identifier.
    var eventID: MadeID?
    var eventHash: UInt64 = 0
    /// The profile that the index names first; it need not be the one. 0: none.
    var profile: UInt32 = 0
}

extension Store {
    /// Records that are looked at together: their places, about 20 KiB, stay in the nearest cache
    /// until they are used.
    package static let prefetchMax = 32

    /// Fetches what the next records will touch; changes nothing, and what it finds is only a hint.
    ///
    /// - Parameters:
    ///   - records: Whole records, one after the other; the first `prefetchMax` of them are looked
    ///     at.
    ///   - firstLSN: Of the first one.
    ///   - times: Of the first one's call.
    package func prefetch(_ records: UnsafeRawBufferPointer, firstLSN: UInt64, times: FrameTimes) {
        self.prefetch(self.expect(records, firstLSN: firstLSN, times))
    }

    /// The same for the next items of a part of an import, which are of one call.
    func prefetch(items: ByteReader, firstLSN: UInt64, receivedAt: Int64) {
        self.prefetch(self.expect(items: items, firstLSN: firstLSN, receivedAt: receivedAt))
    }

    private func prefetch(_ tracks: UnsafeMutableBufferPointer<ExpectedTrack>) {
        var seen: UInt64 = 0
        for track in tracks {
            seen &+= self.index.table(track.identifierHash).firstSlot(
                Shards.tag(track.identifierHash))
            seen &+= self.events.table(track.eventHash).firstSlot(Shards.tag(track.eventHash))
        }
        for index in tracks.indices {
            let tag = Shards.tag(tracks[index].identifierHash)
            let table = self.index.table(tracks[index].identifierHash)
            var position = table.start(tag)
            tracks[index].profile = table.next(tag, from: &position)
        }
        for track in tracks where track.profile != 0 {
            let header = self.pool.header(ProfileRef(rawValue: track.profile))
            seen &+= header.pointee.revision &+ UInt64(header.pointee.events)
        }
        for track in tracks where track.profile != 0 {
            let header = self.pool.header(ProfileRef(rawValue: track.profile))
            seen &+=
                self.firstWord(header.pointee.identity) &+ self.firstWord(header.pointee.counters)
            if header.pointee.eventCount > 0 { seen &+= UInt64(self.lastEvent(header.pointee)) }
        }
        for track in tracks where track.profile != 0 {
            let header = self.pool.header(ProfileRef(rawValue: track.profile))
            if header.pointee.eventCount > 0 {
                seen &+= self.firstWord(self.lastEvent(header.pointee))
            }
        }
        // Kept, so that the loads are not taken for useless.
        self.work.pointee.seen = seen
    }

    /// What the prefetch found out of a call; `nil` if it has not seen just this one. Lsns are
    /// asked for in ascending order.
    func expected(_ call: CallContext) -> UnsafePointer<ExpectedTrack>? {
        var next = self.work.pointee.expectedNext
        let count = self.work.pointee.expectedCount
        while next < count, self.work.pointee.expected[next].lsn < call.firstLSN { next += 1 }
        self.work.pointee.expectedNext = next
        guard next < count, self.work.pointee.expected[next].lsn == call.firstLSN,
            self.work.pointee.expected[next].receivedAt == call.receivedAt
        else { return nil }
        return UnsafePointer(self.work.pointee.expected + next)
    }

    /// Notes the Tracks among the next records.
    private func expect(
        _ records: UnsafeRawBufferPointer, firstLSN: UInt64, _ first: FrameTimes
    ) -> UnsafeMutableBufferPointer<ExpectedTrack> {
        var lsn = firstLSN
        var times = first
        var offset = 0
        var count = 0
        for _ in 0 ..< Self.prefetchMax where offset < records.count {
            guard let record = RecordView(UnsafeRawBufferPointer(rebasing: records[offset...]))
            else { break }
            if record.kind == RecordKind.track.rawValue,
                let track = self.expect(record, lsn: lsn, receivedAt: times.receivedAt)
            {
                (self.work.pointee.expected + count).initialize(to: track)
                count += 1
            }
            lsn += UInt64(record.operations)
            times.advance()
            offset += record.totalBytes
        }
        return self.expected(count: count)
    }

    /// Notes the Tracks among the next items of a part of an import.
    private func expect(
        items: ByteReader, firstLSN: UInt64, receivedAt: Int64
    ) -> UnsafeMutableBufferPointer<ExpectedTrack> {
        var reader = items
        var lsn = firstLSN
        var count = 0
        for _ in 0 ..< Self.prefetchMax where reader.remaining > 0 {
            guard let item = BatchItemView(from: &reader) else { break }
            if item.kind == .track,
                let track = self.expect(item.record, lsn: lsn, receivedAt: receivedAt)
            {
                (self.work.pointee.expected + count).initialize(to: track)
                count += 1
            }
            lsn += UInt64(item.record.operations)
        }
        return self.expected(count: count)
    }

    private func expected(count: Int) -> UnsafeMutableBufferPointer<ExpectedTrack> {
        self.work.pointee.expectedCount = count
        self.work.pointee.expectedNext = 0
        return UnsafeMutableBufferPointer(start: self.work.pointee.expected, count: count)
    }

    private func expect(_ record: RecordView, lsn: UInt64, receivedAt: Int64) -> ExpectedTrack? {
        var reader = ByteReader(record.payload)
        guard let header = TrackHeader(from: &reader) else { return nil }
        var track = ExpectedTrack(
            lsn: lsn, receivedAt: receivedAt,
            identifierHash: self.hash.identifier(header.project, header.identifier))
        // The event's flags and its id, as `TrackEventView` lays them out.
        guard record.operations == 1,
            reader.read(UInt8.self) & TrackEventFlags.rejected.rawValue == 0
        else { return track }
        let sent = reader.readPrefixed()
        guard !reader.overrun else { return track }
        guard sent.count == 0 else {
            track.eventHash = self.hash.event(identifierHash: track.identifierHash, id: sent)
            return track
        }
        let id = MadeID(self.ids.event(receivedAt: receivedAt, lsn: lsn))
        track.eventID = id
        track.eventHash = id.withText {
            self.hash.event(identifierHash: track.identifierHash, id: $0)
        }
        return track
    }

    private func lastEvent(_ header: ProfileHeader) -> Handle {
        self.eventStore.list(header)[Int(header.eventCount) - 1]
    }

    private func firstWord(_ handle: Handle) -> UInt64 {
        handle == 0 ? 0 : self.slab.pointer(handle).load(as: UInt64.self)
    }
}
