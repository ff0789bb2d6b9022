import Bytes

// Copies of whole people, made under the lock of their profile.
//
// SAFETY: headers and blocks are read and copied while the lock of their shard is held; copies of
// events begin at multiples of 8, as blocks do.

/// One person as it was at one lsn. Its bytes are in the buffer that it was copied into.
struct PersonCopy {
    var profile: ProfileRef
    /// What the image of the profile is made of.
    var parts: Store.ProfileCopy
    var partBytes: Range<Int>
    /// At which the profile, its events, its ledger and its suppressions are seen.
    var lsn: UInt64
    /// The first retained events, as blocks at multiples of 8.
    var eventBytes: Range<Int>
    /// How many these are.
    var eventCount = 0
    /// Events that were too many to be copied at once; nearly always none.
    var rest: [EventPosition] = []
    /// The block of the person's own ledger; empty: there is none, or it is copied by itself.
    var ledgerBytes: Range<Int>
    /// Entries of the ledger that is copied by itself which were folded away; `nil`: it is here.
    var foldedCount: UInt64?
    /// What the person's e-mail address is suppressed for.
    var emailReasons = SuppressionReasons()
    /// What the phone number is suppressed for.
    var phoneReasons = SuppressionReasons()
    /// The identifier asked for is an alias.
    var isRedirected = false

    var id: ProfileID { self.parts.header.id }
}

/// Bounds of what is copied while the applier waits for a shard's lock.
enum PersonCopyLimits {
    /// Bytes of events, and of a ledger, that are copied together with their profile: some 100 µs,
    /// as the events of one person are scattered over memory. What is larger follows in pieces of
    /// as many bytes.
    static let pieceBytes = 256 << 10
    /// Copies that end a piece of a walk, in bytes.
    static let walkBytes = 64 << 10
    /// People that end a piece of a walk.
    static let walkPeople = 64
    /// Slots that end a piece of a walk: of other projects, or vacant, about 20 µs.
    static let walkSlots = 1_024
}

extension Store {
    /// Copies a live profile, with everything that belongs to the person. Under its lock.
    ///
    /// - Parameter now: In microseconds; events past the retention at this time are left out.
    /// - Complexity: O(events + bytes of the copy), see `PersonCopyLimits`.
    func copyPerson(
        _ profile: ProfileRef, _ header: ProfileHeader, now: Int64, into buffer: inout ByteBuffer
    ) -> PersonCopy {
        let start = buffer.count
        let parts = self.copyParts(of: header, now, into: &buffer)
        let end = buffer.count
        var person = PersonCopy(
            profile: profile, parts: parts, partBytes: start ..< end, lsn: parts.appliedLSN,
            eventBytes: end ..< end, ledgerBytes: end ..< end)
        if header.ledger != 0 { self.copyLedger(of: header, into: &person, &buffer) }
        if header.eventCount > 0 { self.copyEvents(of: header, now, into: &person, &buffer) }
        if header.attributes != 0 { self.readSuppressions(of: header, into: &person) }
        return person
    }

    private func copyLedger(
        of header: ProfileHeader, into person: inout PersonCopy, _ buffer: inout ByteBuffer
    ) {
        let start = buffer.count
        guard Int(header.ledgerBytes) <= PersonCopyLimits.pieceBytes else {
            person.foldedCount = self.ledgerPart(header).foldedCount
            return
        }
        self.slab.appendLedger(header.ledger, to: &buffer)
        person.ledgerBytes = start ..< buffer.count
    }

    private func copyEvents(
        of header: ProfileHeader, _ now: Int64, into person: inout PersonCopy,
        _ buffer: inout ByteBuffer
    ) {
        let events = UnsafeBufferPointer(
            start: self.eventStore.list(header), count: Int(header.eventCount))
        var index = self.firstIndex(
            in: events, notBefore: self.retainedSince(now, in: header.project), lsn: 0)
        buffer.pad(to: 8)
        let start = buffer.count
        while index < events.count {
            let block = EventBlock(self.slab.pointer(events[index]))
            guard buffer.count - start + block.totalBytes <= PersonCopyLimits.pieceBytes else {
                break
            }
            block.appendCopy(to: &buffer)
            person.eventCount += 1
            index += 1
        }
        person.eventBytes = start ..< buffer.count
        person.rest.reserveCapacity(events.count - index)
        while index < events.count {
            person.rest.append(self.position(of: events[index]))
            index += 1
        }
    }

    private func position(of event: Handle) -> EventPosition {
        let block = EventBlock(self.slab.pointer(event))
        return EventPosition(effectiveTime: block.effectiveTime, lsn: block.lsn)
    }

    /// Reads what the addresses of a profile are suppressed for, at the same lsn as the profile.
    ///
    /// The locks of suppressions are taken inside of that of the profile, so neither can change
    /// before the lsn is read.
    private func readSuppressions(of header: ProfileHeader, into person: inout PersonCopy) {
        let names = self.projects.names(of: header.project)
        var hashes: [AddressHash] = []
        var channels: [Channel] = []
        AttributePart(self.slab.pointer(header.attributes)).forEachValue(
            totalBytes: Int(header.attributesBytes)
        ) { number, value in
            let name = names.name(number)
            let channel: Channel
            if name.equals(NativeAttribute.emailAddress.nameBytes) {
                channel = .email
            } else if name.equals(NativeAttribute.phoneNumber.nameBytes) {
                channel = .sms
            } else {
                return
            }
            let address = Self.text(of: value)
            hashes.append(self.addressHash(header.project, channel, address))
            channels.append(channel)
            // A release that compared addresses otherwise may have suppressed it.
            if let former = self.formerAddressHash(header.project, channel, address) {
                hashes.append(former)
                channels.append(channel)
            }
        }
        guard !hashes.isEmpty else { return }
        let found = self.suppressions.reasons(header.project, hashes) {
            person.lsn = self.appliedLSN
        }
        for (channel, reasons) in zip(channels, found) {
            if channel == .email {
                person.emailReasons.formUnion(reasons)
            } else {
                person.phoneReasons.formUnion(reasons)
            }
        }
    }

    /// Copies the person that an identifier names; `nil`: none is called so. Any thread.
    func copyPerson(
        _ project: ProjectID, _ identifier: IdentifierView, now: Int64,
        into buffer: inout ByteBuffer
    ) -> PersonCopy? {
        self.withHolder(project, identifier) { profile, isRedirected in
            var person = self.copyPerson(
                profile, self.pool.header(profile).pointee, now: now, into: &buffer)
            person.isRedirected = isRedirected
            return person
        }
    }

    /// Copies the next of the events that were too many, from `next` on. Any thread.
    ///
    /// Events that came since are passed over: those that were there are found by their positions.
    ///
    /// - Returns: False: one of them is no longer there, since it was dropped, or the profile was
    ///   merged away or erased.
    func copyRest(of person: PersonCopy, from next: inout Int, into buffer: inout ByteBuffer)
        -> Bool
    {
        self.profileLocks.with(person.profile.shard) {
            let header = self.pool.header(person.profile).pointee
            guard header.isLive, header.project == person.parts.header.project,
                header.id == person.id, header.eventCount > 0
            else { return false }
            let events = UnsafeBufferPointer(
                start: self.eventStore.list(header), count: Int(header.eventCount))
            let first = person.rest[next]
            var index = self.firstIndex(
                in: events, notBefore: first.effectiveTime, lsn: first.lsn)
            let start = buffer.count
            while next < person.rest.count {
                while index < events.count, self.position(of: events[index]) < person.rest[next] {
                    index += 1
                }
                guard index < events.count,
                    self.position(of: events[index]) == person.rest[next]
                else { return false }
                let block = EventBlock(self.slab.pointer(events[index]))
                let isFull =
                    buffer.count > start
                    && buffer.count - start + block.totalBytes > PersonCopyLimits.pieceBytes
                if isFull { return true }
                block.appendCopy(to: &buffer)
                next += 1
                index += 1
            }
            return true
        }
    }
}
