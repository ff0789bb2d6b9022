import Bytes

// SAFETY: parts borrow from the reader's own buffers until its next call. Copies of events begin at
// multiples of 8, as blocks do, and are only read.

/// Reads people whole and in parts: one whom an identifier names, or everyone of a project.
///
/// People are copied under the lock of their profile, several small ones at once, and read without
/// it: writes go on meanwhile, and what is read of a person stays that of one lsn. Used by one
/// thread.
package final class ExportReader {
    /// What a call of `next` came to.
    package enum Step {
        case part(ExportPart)
        /// A bounded piece of work is done and more is left: others may have their turn.
        case more
        case end
        /// No profile is called so.
        case notFound
        /// The person is larger than `copiedBytesMax`, and has changed while its parts were read.
        case changed
    }

    /// Whom to read.
    private enum Selection {
        case person(OwnedIdentifier)
        case everyone(from: UInt64)
    }

    private enum Phase {
        /// The next person is taken, or copied.
        case choosing
        /// Whether someone comes before the first person that was found is looked at.
        case confirming(ProfileWalk, through: UInt64)
        /// What of the person could not be copied at once is copied.
        case completing
        /// The parts of the person are read.
        case reading
        case ended
    }

    /// Bytes of the events of one person that are kept, beside the first piece. A larger person is
    /// copied on while its parts are taken, and cannot be read again from its beginning then.
    package static let copiedBytesMax = 16 << 20
    /// How often one person is copied again because it changed meanwhile.
    private static let attemptsMax = 16
    /// Bytes of ledgers that are copied and hashed in one piece.
    private static let ledgerPieceBytes = 64 << 10
    /// Storage that is kept from one person to the next, in bytes.
    private static let storageBytesKept = 256 << 10

    package let project: ProjectID
    private let selection: Selection
    private let bytesMax: Int
    private var walk: ProfileWalk
    private var phase = Phase.choosing
    /// Something was handed out.
    private var hasBegun = false
    private var attempts = 0
    /// The lsn of an export of nobody.
    private var emptyLSN: UInt64 = 0

    /// Copies of the last piece, and which of them is next.
    private var copies = ByteBuffer(capacity: 64 << 10)
    private var people: [PersonCopy] = []
    private var nextPerson = 0
    /// `Store.lastEraseLSN` before the present copies were made: people who were erased later may
    /// be among them.
    package private(set) var erasure: UInt64 = 0

    // Of the person whose parts are read.

    private var image = ByteBuffer(capacity: 4 << 10)
    private var ledgers: LedgerScan
    private var hasLedgers = false
    /// The entries to read.
    private var entries: [Int] = []
    private var nextEntry = 0
    /// Events that were too many to be copied at once.
    private var more = ByteBuffer()
    private var moreEvents = 0
    private var isReadingMore = false
    private var nextRest = 0
    /// Where the next event is: among the copies, then in `more`.
    private var eventOffset = 0
    private var eventsLeft = 0
    private var suppressions: [(channel: Channel, reasons: SuppressionReasons)] = []
    private var nextSuppression = 0
    /// Parts that were not read yet.
    private var partsLeft = 0
    private var eventImage = ByteBuffer()

    /// Reads one person.
    package convenience init(_ project: ProjectID, _ identifier: OwnedIdentifier) {
        self.init(project, identifier, copiedBytesMax: Self.copiedBytesMax)
    }

    /// As above; with another bound, for tests.
    init(_ project: ProjectID, _ identifier: OwnedIdentifier, copiedBytesMax: Int) {
        self.bytesMax = copiedBytesMax
        self.project = project
        self.selection = .person(identifier)
        self.walk = ProfileWalk(project, from: ProfileWalk.endPosition)
        self.ledgers = LedgerScan(copies: [])
    }

    /// Reads everyone of a project, from a position on; 0: from the beginning.
    package init(_ project: ProjectID, from position: UInt64) {
        self.bytesMax = Self.copiedBytesMax
        self.project = project
        self.selection = .everyone(from: position)
        self.walk = ProfileWalk(project, from: position)
        self.ledgers = LedgerScan(copies: [])
    }

    /// Reads on.
    ///
    /// - Parameter now: In microseconds; events past the retention at this time are left out.
    /// - Complexity: O(bytes of the part); or one bounded piece of copying.
    package func next(in store: Store, now: Int64) -> Step {
        switch self.phase {
        case .choosing: self.choose(in: store, now)
        case .confirming(var check, let position):
            self.confirm(&check, through: position, in: store)
        case .completing: self.complete(in: store)
        case .reading: self.read(in: store)
        case .ended: .end
        }
    }

    // MARK: Choosing

    private func choose(in store: Store, _ now: Int64) -> Step {
        if self.nextPerson < self.people.count { return self.begin(in: store) }
        self.people.removeAll(keepingCapacity: true)
        self.nextPerson = 0
        self.copies.removeAll()
        self.copies.shrink(toCapacity: Self.storageBytesKept)
        self.erasure = store.lastEraseLSN
        switch self.selection {
        case .person(let identifier):
            guard !self.hasBegun else { return self.end(.end) }
            let found = identifier.withView {
                store.copyPerson(self.project, $0, now: now, into: &self.copies)
            }
            guard let found else { return self.end(.notFound) }
            self.people.append(found)
            return self.begin(in: store)
        case .everyone(let first): return self.walkOn(from: first, in: store, now)
        }
    }

    private func end(_ step: Step) -> Step {
        self.phase = .ended
        return step
    }

    private func walkOn(from first: UInt64, in store: Store, _ now: Int64) -> Step {
        guard !self.walk.isAtEnd else {
            guard !self.hasBegun else { return self.end(.end) }
            // Nobody was found: the export is of nobody at this lsn, if that is so.
            self.emptyLSN = store.appliedLSN
            return self.beginConfirming(from: first, through: ProfileWalk.endPosition)
        }
        let (start, origin) = (
            self.walk.position, ProfileWalk(self.project, from: first).position
        )
        store.advance(
            &self.walk, slots: PersonCopyLimits.walkSlots, fetching: .all
        ) { profile, header in
            self.people.append(
                store.copyPerson(profile, header.pointee, now: now, into: &self.copies))
            let isFull =
                self.people.count >= PersonCopyLimits.walkPeople
                || self.copies.count >= PersonCopyLimits.walkBytes
            return isFull ? .stop : .next
        }
        guard let person = self.people.first else { return .more }
        // The first message of an export shows the position at its start: nobody may have been made
        // before that lsn in what was passed.
        guard self.hasBegun || start == origin else {
            return self.beginConfirming(from: first, through: Self.position(of: person))
        }
        return .more
    }

    private static func position(of person: PersonCopy) -> UInt64 {
        ProfileWalk.position(of: person.profile)
    }

    private func beginConfirming(from first: UInt64, through position: UInt64) -> Step {
        self.phase = .confirming(ProfileWalk(self.project, from: first), through: position)
        return .more
    }

    /// Looks once more at what was passed before the first person was found: one who was made there
    /// meanwhile comes first, and so the lsn of the first person is one before which all of the
    /// people are passed or in the change feed.
    private func confirm(
        _ check: inout ProfileWalk, through position: UInt64, in store: Store
    ) -> Step {
        guard check.position < position else {
            self.phase = .choosing
            guard self.people.isEmpty else { return .more }
            self.phase = .ended
            self.hasBegun = true
            return .part(ExportPart(content: .position, lsn: self.emptyLSN))
        }
        var isFound = false
        let slots = min(PersonCopyLimits.walkSlots, check.slots(before: position))
        store.advance(&check, slots: slots, fetching: []) { _, _ in
            isFound = true
            return .stopBefore
        }
        guard isFound else {
            self.phase = .confirming(check, through: position)
            return .more
        }
        self.people.removeAll(keepingCapacity: true)
        self.walk = check
        self.phase = .choosing
        return .more
    }

    // MARK: Completing

    /// Begins with the next of the people that were copied.
    private func begin(in store: Store) -> Step {
        let person = self.people[self.nextPerson]
        self.image.removeAll()
        self.image.shrink(toCapacity: Self.storageBytesKept)
        self.image.append(UnsafeRawBufferPointer(rebasing: self.copies.bytes[person.partBytes]))
        store.encode(person.parts, from: 0, in: &self.image)
        let profile = self.profile
        var hasAliases = false
        profile.forEachProfileAlias { _ in hasAliases = true }
        self.hasLedgers =
            hasAliases || !person.ledgerBytes.isEmpty || person.foldedCount != nil
        if self.hasLedgers, person.foldedCount != nil {
            self.ledgers = LedgerScan(of: profile, project: self.project)
        } else if self.hasLedgers {
            let own = UnsafeRawBufferPointer(rebasing: self.copies.bytes[person.ledgerBytes])
            self.ledgers = LedgerScan(of: profile, project: self.project, own: own)
        }
        self.more.removeAll()
        self.more.shrink(toCapacity: Self.storageBytesKept)
        (self.moreEvents, self.nextRest, self.isReadingMore) = (0, 0, false)
        self.entries.removeAll(keepingCapacity: true)
        self.suppressions.removeAll(keepingCapacity: true)
        if !person.emailReasons.isEmpty { self.suppressions.append((.email, person.emailReasons)) }
        if !person.phoneReasons.isEmpty { self.suppressions.append((.sms, person.phoneReasons)) }
        guard self.hasLedgers || !person.rest.isEmpty else { return self.beginReading(person) }
        self.phase = .completing
        return .more
    }

    private var profile: ProfileImage {
        guard let image = ProfileImage(self.image.bytes) else {
            preconditionFailure("an image of this process is whole")
        }
        return image
    }

    private func complete(in store: Store) -> Step {
        let person = self.people[self.nextPerson]
        if self.hasLedgers {
            let isComplete = self.ledgers.advance(in: store, budgetBytes: Self.ledgerPieceBytes)
            guard isComplete else { return .more }
            // Entries are only added, so those up to the lsn are the ledger as it was, unless some
            // were folded away since, or a merge was undone.
            let isChanged =
                person.foldedCount.map { $0 != self.ledgers.ownFoldedCount } ?? false
                || self.ledgers.hasMergedEntries(behind: person.lsn)
            guard !isChanged else { return self.copyAgain(person) }
        }
        if self.nextRest < person.rest.count, self.more.count < self.bytesMax {
            guard self.copyMore(of: person, in: store) else { return self.copyAgain(person) }
            return .more
        }
        if self.hasLedgers { self.entries = self.ledgers.order(through: person.lsn) }
        return self.beginReading(person)
    }

    /// Nothing of the person was handed out yet: it is copied again as it is now.
    private func copyAgain(_ person: PersonCopy) -> Step {
        self.attempts += 1
        guard self.attempts < Self.attemptsMax else { return self.end(.changed) }
        if case .everyone = self.selection {
            self.walk = ProfileWalk(self.project, from: Self.position(of: person))
        }
        self.people.removeAll(keepingCapacity: true)
        self.nextPerson = 0
        self.phase = .choosing
        return .more
    }

    private func copyMore(of person: PersonCopy, in store: Store) -> Bool {
        let first = self.nextRest
        let isWhole = store.copyRest(of: person, from: &self.nextRest, into: &self.more)
        self.moreEvents += self.nextRest - first
        return isWhole
    }

    // MARK: Reading

    private func beginReading(_ person: PersonCopy) -> Step {
        self.attempts = 0
        self.eventOffset = person.eventBytes.lowerBound
        self.eventsLeft = person.eventCount
        self.nextEntry = 0
        self.nextSuppression = 0
        self.partsLeft =
            1 + person.eventCount + person.rest.count + self.entries.count
            + self.suppressions.count
        self.hasBegun = true
        self.phase = .reading
        var part = self.part(.profile(self.profile), of: person)
        part.isRedirected = person.isRedirected
        return .part(part)
    }

    /// A part of the person; after the last one comes the next person.
    private func part(_ content: ExportPart.Content, of person: PersonCopy) -> ExportPart {
        var part = ExportPart(content: content, lsn: person.lsn, profileID: person.id)
        self.partsLeft -= 1
        guard self.partsLeft == 0 else { return part }
        if case .everyone = self.selection { part.nextPosition = Self.position(of: person) + 1 }
        self.nextPerson += 1
        self.phase = .choosing
        return part
    }

    private func read(in store: Store) -> Step {
        let person = self.people[self.nextPerson]
        if self.eventsLeft == 0, self.moreEvents > 0 {
            (self.eventsLeft, self.moreEvents) = (self.moreEvents, 0)
            self.eventOffset = 0
            self.isReadingMore = true
        }
        if self.eventsLeft > 0 { return .part(self.event(of: person, in: store)) }
        if self.nextRest < person.rest.count {
            self.more.removeAll()
            return self.copyMore(of: person, in: store) ? .more : self.end(.changed)
        }
        if self.nextEntry < self.entries.count {
            self.nextEntry += 1
            let entry = self.ledgers.entry(self.entries[self.nextEntry - 1])
            return .part(self.part(.consentEntry(entry), of: person))
        }
        let (channel, reasons) = self.suppressions[self.nextSuppression]
        self.nextSuppression += 1
        let address = self.profile.address(channel) ?? UnsafeRawBufferPointer.none
        return .part(self.part(.suppression(channel, address: address, reasons), of: person))
    }

    private func event(of person: PersonCopy, in store: Store) -> ExportPart {
        let base = self.isReadingMore ? self.more.base : self.copies.base
        let block = EventBlock(base + self.eventOffset)
        self.eventOffset += (block.totalBytes + 7) & ~7
        self.eventsLeft -= 1
        self.eventImage.removeAll()
        store.appendImage(
            of: block, block.parts, names: store.projects.names(of: self.project),
            to: &self.eventImage)
        return self.part(.event(self.eventImage.bytes), of: person)
    }
}

extension ProfileWalk {
    /// Slots of the present shard from here to a position; those of others are not counted.
    func slots(before position: UInt64) -> Int {
        guard Int(position >> 32) == self.shard else { return .max }
        return Int(position & 0xFFFF_FFFF) - self.slot
    }
}
