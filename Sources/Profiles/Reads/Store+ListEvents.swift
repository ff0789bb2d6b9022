import Bytes

// Listing a profile's events: pieces are copied under its lock, by position, and filtered by name
// without one. A page is what the profile had at the first piece, except for what was dropped or
// came in front of the reader since.
//
// SAFETY: handles and blocks of events are read under the lock of the profile's shard; `copyPiece`
// copies whole blocks, each at a multiple of 8, so that the offsets `take` reads them at are those
// of blocks, and `take` only reads them.

/// A page of a listing under way: its content so far, and the position of the next read.
package struct EventScan {
    /// What a slice of the scan came to.
    package enum Step {
        /// The page is complete; its images are in the buffer.
        case page(EventPage)
        /// The budget is used up.
        case more
        /// No profile is called so.
        case notFound
    }

    /// Where the listing begins; `nil`: at its first event.
    private let position: EventPosition?
    /// Where the images of the page begin in the buffer.
    let start: Int
    /// In microseconds; events past the retention at this time count as dropped.
    let now: Int64
    /// `nil`: to be found.
    var profile: ProfileRef?
    var page = EventPage()
    /// The last event that was looked at.
    var cursor: EventPosition?
    /// The last event of the page.
    var last: EventPosition?

    /// - Parameters:
    ///   - position: `nil`: the first page.
    ///   - start: Bytes that the buffer for the images already has.
    package init(after position: EventPosition?, at start: Int, now: Int64) {
        self.position = position
        self.start = start
        self.now = now
        self.cursor = position
    }

    /// Begins the page again.
    mutating func restart(_ buffer: inout ByteBuffer) {
        buffer.truncate(to: self.start)
        self = EventScan(after: self.position, at: self.start, now: self.now)
    }
}

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
        var scan = EventScan(after: position, at: buffer.count, now: now)
        var piece = ByteBuffer(capacity: Self.pieceBytesMax)
        while true {
            let step = self.advance(
                &scan, project: project, identifier: identifier, query: query, budgetBytes: .max,
                piece: &piece, into: &buffer)
            switch step {
            case .more: continue
            case .notFound: return nil
            case .page(let page): return page
            }
        }
    }

    /// Continues a scan, and appends the images of the events that it finds. Any thread.
    ///
    /// - Parameters:
    ///   - budgetBytes: Bytes of events to look at; one piece more may be taken.
    ///   - piece: Its storage is used, its content is lost.
    ///   - buffer: Has the images that the scan has found so far, and nothing behind them.
    package func advance(
        _ scan: inout EventScan, project: ProjectID, identifier: IdentifierView, query: EventQuery,
        budgetBytes: Int, piece: inout ByteBuffer, into buffer: inout ByteBuffer
    ) -> EventScan.Step {
        var left = budgetBytes
        while left > 0 {
            if scan.profile == nil {
                guard let (profile, page) = self.beginPage(project, identifier, query, scan.now)
                else { return .notFound }
                scan.profile = profile
                scan.page = page
            }
            switch self.fillPage(&scan, project, query, &left, &piece, &buffer) {
            case .full: return .page(scan.page)
            case .outOfBudget: break
            // It was merged away or erased since: begin again with the survivor, if there is one.
            case .gone: scan.restart(&buffer)
            }
        }
        return .more
    }

    /// Finds the profile, and the fields of a page beside its events.
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
        return from
            < max(
                truncatedBefore, self.retainedSince(now, in: header.project))
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
                // The shard changed since the last candidate: begin again with its present entries.
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
                guard header.project == project,
                    candidate != profile || self.identities.holds(header, project, identifier)
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

    /// How the filling of a page stopped.
    private enum Filling {
        case full
        case outOfBudget
        case gone
    }

    /// Copies piece by piece until the page is full or the budget is used up.
    private func fillPage(
        _ scan: inout EventScan, _ project: ProjectID, _ query: EventQuery, _ left: inout Int,
        _ piece: inout ByteBuffer, _ buffer: inout ByteBuffer
    ) -> Filling {
        guard let profile = scan.profile else { return .gone }
        while left > 0 {
            piece.removeAll()
            let isLast = self.copyPiece(
                of: profile, in: project, query, after: scan.cursor, scan.now, into: &piece)
            guard let isLast else { return .gone }
            left -= max(piece.count, 1)
            let isFull = self.take(
                piece.bytes, into: &scan, query, names: self.projects.names(of: project), &buffer)
            if isFull || isLast { return .full }
        }
        return .outOfBudget
    }

    /// Takes the events of a piece that the query asks for; returns whether the page is full.
    private func take(
        _ piece: UnsafeRawBufferPointer, into scan: inout EventScan, _ query: EventQuery,
        names: NameTable, _ buffer: inout ByteBuffer
    ) -> Bool {
        guard let base = piece.baseAddress else { return false }
        var offset = 0
        while offset < piece.count {
            let block = EventBlock(UnsafeMutableRawPointer(mutating: base + offset))
            offset += (block.totalBytes + 7) & ~7
            let position = EventPosition(effectiveTime: block.effectiveTime, lsn: block.lsn)
            scan.cursor = position
            let parts = block.parts
            guard self.isAsked(parts.content, query, names) else { continue }
            let bytes = buffer.count - scan.start
            guard scan.page.eventCount < query.pageSize,
                bytes + block.totalBytes <= Self.pageBytesMax || scan.page.eventCount == 0
            else {
                scan.page.next = scan.last
                return true
            }
            self.appendImage(of: block, parts, names: names, to: &buffer)
            scan.page.eventCount += 1
            scan.last = position
        }
        return false
    }

    private func isAsked(
        _ content: UnsafeRawBufferPointer, _ query: EventQuery, _ names: NameTable
    ) -> Bool {
        guard !query.names.isEmpty else { return true }
        let name = names.name(Int(content.loadUnaligned(as: UInt16.self)))
        return query.names.contains { $0.equals(name) }
    }

    /// Copies blocks of the events that follow a place, each at a multiple of 8.
    ///
    /// - Returns: Whether these were the last; `nil`: the profile was merged away.
    private func copyPiece(
        of profile: ProfileRef, in project: ProjectID, _ query: EventQuery,
        after cursor: EventPosition?, _ now: Int64,
        into piece: inout ByteBuffer
    ) -> Bool? {
        self.profileLocks.with(profile.shard) {
            let header = self.pool.header(profile).pointee
            // The slot may be another project's by now.
            guard header.isLive, header.project == project else { return nil }
            guard header.eventCount > 0 else { return true }
            let events = UnsafeBufferPointer(
                start: self.eventStore.list(header), count: Int(header.eventCount))
            var lower = self.firstIndex(
                in: events,
                notBefore: max(query.from ?? .min, self.retainedSince(now, in: project)),
                lsn: 0)
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

    /// The first event at a place or behind it. Under the profile's lock.
    func firstIndex(
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
        of block: EventBlock, _ parts: EventBlock.Parts, names: NameTable,
        to buffer: inout ByteBuffer
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
        EventContent.appendNamed(parts.content, names: names, to: &buffer)
    }

    // MARK: Page tokens

    /// Appends the token that continues a listing after a position.
    package func appendPageToken(
        project: ProjectID, identifier: IdentifierView, query: EventQuery, position: EventPosition,
        to buffer: inout ByteBuffer
    ) {
        self.appendPageToken(project, self.filter(identifier, query), position, to: &buffer)
    }

    /// The position of a token; `nil` if this directory did not make it for this listing.
    package func verifyPage(
        _ text: UnsafeRawBufferPointer, project: ProjectID, identifier: IdentifierView,
        query: EventQuery
    ) -> EventPosition? {
        self.verifyPage(text, project, self.filter(identifier, query))
    }

    private func filter(_ identifier: IdentifierView, _ query: EventQuery) -> Fingerprint {
        var bytes = ByteBuffer(capacity: 256)
        query.writeFilter(identifier, into: &bytes)
        return self.hash.fingerprint(bytes.bytes, .none)
    }
}
