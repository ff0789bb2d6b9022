import Bytes

// Listing a profile's events: pieces are copied under its lock, by position, and filtered by name
// without one. A page is what the profile had at the first piece, but for what was dropped or came
// in front of the reader since.

extension Store {
    /// Bytes copied under one lock; one event may be larger.
    private static let pieceBytesMax = 64 << 10
    /// Images of one page: serialised they take less than three times as much, far below a
    /// message's 4 MiB. One event may be larger.
    private static let pageBytesMax = 1 << 20

    /// Reads the page of a listing that follows `position`, and appends the images of its events.
    /// Any thread.
    ///
    /// - Parameters:
    ///   - position: `nil`: the first page.
    ///   - now: In microseconds; events past the retention at this time count as dropped.
    /// - Returns: `nil`: no profile is called so.
    /// - Complexity: O(bytes of the events between the bounds); the profile's lock is taken for
    ///   each 64 KiB.
    package func listEvents(
        project: ProjectID, identifier: IdentifierView, query: EventQuery,
        after position: EventPosition?, now: Int64,
        into buffer: inout ByteBuffer
    ) -> EventPage? {
        let start = buffer.count
        var piece = ByteBuffer(capacity: Self.pieceBytesMax)
        while true {
            buffer.truncate(to: start)
            guard let (profile, page) = self.beginPage(project, identifier, query, now) else {
                return nil
            }
            if let page = self.fillPage(
                page, of: profile, query, after: position, now, &piece, &buffer)
            {
                return page
            }
            // It was merged away or erased since: begin again with the survivor, if there is one.
        }
    }

    /// Finds the profile, and what a page says beside its events.
    private func beginPage(
        _ project: ProjectID, _ identifier: IdentifierView, _ query: EventQuery, _ now: Int64
    ) -> (ProfileRef, EventPage)? {
        self.withHolder(project, identifier) { profile, isRedirected in
            let header = self.pool.header(profile).pointee
            var page = EventPage()
            page.isRedirected = isRedirected
            page.appliedLSN = self.appliedLSN
            page.isTruncated = self.isTruncated(header, query, now)
            return (profile, page)
        }
    }

    /// Whether a listing begins before what is retained. Under the profile's lock.
    private func isTruncated(_ header: ProfileHeader, _ query: EventQuery, _ now: Int64) -> Bool {
        let truncatedBefore = self.truncatedBefore(header, now)
        guard let from = query.from else { return truncatedBefore != 0 }
        return from < max(truncatedBefore, self.retainedSince(now))
    }

    /// Calls `body` under the lock of the profile that an identifier names; `nil`: none is called
    /// so.
    func withHolder<Result>(
        _ project: ProjectID, _ identifier: IdentifierView,
        _ body: (_ profile: ProfileRef, _ isRedirected: Bool) -> Result
    ) -> Result? {
        self.firstCandidate(project, identifier) {
            self.withSurvivor(of: $0, project, identifier, body)
        }
    }

    /// What `body` makes of the first profile under an identifier's hash that it makes something
    /// of; `nil`: of none. A profile under the hash need not be called so, which `body` finds out
    /// under the profile's lock.
    func firstCandidate<Result>(
        _ project: ProjectID, _ identifier: IdentifierView,
        _ body: (_ profile: ProfileRef) -> Result?
    ) -> Result? {
        let hash = self.hash.identifier(project, identifier)
        var number = 0
        var version: UInt64 = 0
        while true {
            let candidate = self.index.candidate(hash, number) { 0 }
            if number > 0, candidate.version != version {
                // The shard changed since the last candidate: begin again with what it says now.
                number = 0
                continue
            }
            version = candidate.version
            guard let profile = candidate.profile else { return nil }
            if let found = body(profile) { return found }
            number += 1
        }
    }

    /// Follows the merges of one candidate; `nil`: it is not called so.
    private func withSurvivor<Result>(
        of profile: ProfileRef, _ project: ProjectID, _ identifier: IdentifierView,
        _ body: (_ profile: ProfileRef, _ isRedirected: Bool) -> Result
    ) -> Result? {
        var next = profile
        while true {
            let candidate = next
            let found = self.profileLocks.with(candidate.shard) { () -> Result? in
                let header = self.pool.header(candidate).pointee
                guard candidate != profile || self.identities.holds(header, project, identifier)
                else {
                    return nil
                }
                guard !header.isErased else { return nil }
                guard header.isLive else {
                    next = ProfileRef(rawValue: header.mergedInto)
                    return nil
                }
                return body(candidate, candidate != profile)
            }
            if found != nil || next == candidate { return found }
        }
    }

    /// Copies piece by piece until the page is full; `nil`: the profile was merged away meanwhile.
    private func fillPage(
        _ begun: EventPage, of profile: ProfileRef, _ query: EventQuery,
        after position: EventPosition?, _ now: Int64,
        _ piece: inout ByteBuffer, _ buffer: inout ByteBuffer
    ) -> EventPage? {
        var page = begun
        var cursor = position
        var last: EventPosition?
        let start = buffer.count
        while true {
            piece.removeAll()
            guard let isLast = self.copyPiece(of: profile, query, after: cursor, now, into: &piece)
            else { return nil }
            var offset = 0
            while offset < piece.count {
                let block = EventBlock(piece.base + offset)
                offset += (block.totalBytes + 7) & ~7
                let next = EventPosition(effectiveTime: block.effectiveTime, lsn: block.lsn)
                cursor = next
                let parts = block.parts
                guard self.isAsked(parts.content, query) else { continue }
                let bytes = buffer.count - start
                guard page.eventCount < query.pageSize,
                    bytes + block.totalBytes <= Self.pageBytesMax || page.eventCount == 0
                else {
                    page.next = last
                    return page
                }
                self.appendImage(of: block, parts, to: &buffer)
                page.eventCount += 1
                last = next
            }
            if isLast { return page }
        }
    }

    private func isAsked(_ content: UnsafeRawBufferPointer, _ query: EventQuery) -> Bool {
        guard !query.names.isEmpty else { return true }
        let name = self.project.names.name(Int(content.loadUnaligned(as: UInt16.self)))
        return query.names.contains { $0.equals(name) }
    }

    /// Copies blocks of the events that follow a place, each at a multiple of 8.
    ///
    /// - Returns: Whether these were the last; `nil`: the profile was merged away.
    private func copyPiece(
        of profile: ProfileRef, _ query: EventQuery, after cursor: EventPosition?, _ now: Int64,
        into piece: inout ByteBuffer
    ) -> Bool? {
        self.profileLocks.with(profile.shard) {
            let header = self.pool.header(profile).pointee
            guard header.isLive else { return nil }
            guard header.eventCount > 0 else { return true }
            let events = UnsafeBufferPointer(
                start: self.slab.pointer(header.events).assumingMemoryBound(to: Handle.self)
                    + Int(header.eventHead),
                count: Int(header.eventCount))
            var lower = self.firstIndex(
                in: events, notBefore: max(query.from ?? .min, self.retainedSince(now)), lsn: 0)
            var upper =
                query.to.map { self.firstIndex(in: events, notBefore: $0, lsn: 0) } ?? events.count
            if let cursor, query.isOldestFirst {
                lower = max(
                    lower,
                    self.firstIndex(
                        in: events, notBefore: cursor.effectiveTime, lsn: cursor.lsn + 1))
            } else if let cursor {
                upper = min(
                    upper,
                    self.firstIndex(in: events, notBefore: cursor.effectiveTime, lsn: cursor.lsn))
            }
            while lower < upper {
                let block = EventBlock(
                    self.slab.pointer(events[query.isOldestFirst ? lower : upper - 1]))
                guard piece.count == 0 || piece.count + block.totalBytes <= Self.pieceBytesMax
                else { return false }
                block.appendCopy(to: &piece)
                if query.isOldestFirst { lower += 1 } else { upper -= 1 }
            }
            return true
        }
    }

    /// The first event at a place or behind it.
    private func firstIndex(
        in events: UnsafeBufferPointer<Handle>, notBefore time: Int64, lsn: UInt64
    ) -> Int {
        let cursor = EventPosition(effectiveTime: time, lsn: lsn)
        var (low, high) = (0, events.count)
        while low < high {
            let middle = (low + high) / 2
            let block = EventBlock(self.slab.pointer(events[middle]))
            if EventPosition(effectiveTime: block.effectiveTime, lsn: block.lsn) < cursor {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Appends a `StoredEventView`'s bytes, with names for numbers.
    func appendImage(
        of block: EventBlock, _ parts: EventBlock.Parts, to buffer: inout ByteBuffer
    ) {
        buffer.append(block.effectiveTime)
        buffer.append(block.receivedAt)
        buffer.append(block.lsn)
        buffer.append(UInt8(parts.isHistorical ? 1 : 0))
        buffer.append(parts.platform)
        buffer.append(parts.identifier.kind.rawValue)
        buffer.appendPrefixed(parts.identifier.bytes)
        if let eventID = parts.eventID {
            buffer.appendPrefixed(eventID)
        } else {
            buffer.appendVarint(UInt64(ProfileID.textBytes))
            self.ids.event(receivedAt: block.receivedAt, lsn: block.lsn)
                .writeText(into: buffer.appendUninitialized(ProfileID.textBytes))
        }
        buffer.appendPrefixed(parts.sourceName)
        EventContent.appendNamed(parts.content, names: self.project.names, to: &buffer)
    }

    // MARK: Page tokens

    /// Appends the token that continues a listing after a position.
    package func appendPageToken(
        project: ProjectID, identifier: IdentifierView, query: EventQuery, position: EventPosition,
        to buffer: inout ByteBuffer
    ) {
        var content = ByteBuffer(capacity: 64)
        EventPageToken(project: project, filter: self.filter(identifier, query), position: position)
            .write(into: &content)
        self.tokens.appendText(content.bytes, to: &buffer)
    }

    /// The position of a token; `nil` if this directory did not make it for this listing.
    package func verifyPage(
        _ text: UnsafeRawBufferPointer, project: ProjectID, identifier: IdentifierView,
        query: EventQuery
    ) -> EventPosition? {
        var content = ByteBuffer(capacity: 64)
        guard let bytes = self.tokens.verify(text, into: &content),
            let token = EventPageToken(content: bytes),
            token.project == project, token.filter == self.filter(identifier, query)
        else { return nil }
        return token.position
    }

    private func filter(_ identifier: IdentifierView, _ query: EventQuery) -> Fingerprint {
        var bytes = ByteBuffer(capacity: 256)
        query.writeFilter(identifier, into: &bytes)
        return self.hash.fingerprint(bytes.bytes, .none)
    }
}
