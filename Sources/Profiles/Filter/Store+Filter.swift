import Bytes

// Filters on what is stored: by the applier when it decides about triggers, and by any thread under
// the lock of a profile.
//
// SAFETY: a subject follows handles of a header that its maker may follow: the applier at any time,
// a reader under the profile's lock, which it holds during the evaluation. Of a copy nothing but
// the copied bytes is read, at the offsets that the header gives. Pending events are elements of
// `work`, which the applier owns.

extension Store {
    /// Whether a profile matches, as it is now.
    ///
    /// For the applier, and for other threads under the profile's lock.
    ///
    /// - Parameters:
    ///   - filter: Of either scope; without an event every comparison with one is false.
    ///   - names: Of the profile's project.
    ///   - now: The time of the call that asks, in microseconds since 1970.
    ///   - known: What a scan found with this filter, in this project.
    /// - Complexity: As `CompiledFilter.matches`; a lock of the suppressions for `suppressed`.
    @inline(__always)
    func matches(
        _ filter: CompiledFilter, header: ProfileHeader, names: NameTable, now: Int64,
        known: UnsafeMutablePointer<FoundNames>? = nil
    ) -> Bool {
        var subject = StoredSubject(self, header, names)
        subject.foundNames = known
        return filter.matches(subject, now: now)
    }

    /// As above, of any project.
    func matches(_ filter: CompiledFilter, header: ProfileHeader, now: Int64) -> Bool {
        let names = self.projects.names(of: header.project)
        return self.matches(filter, header: header, names: names, now: now)
    }

    /// Whether the copy of a profile matches (`copyParts`). Any thread.
    ///
    /// - Parameter parts: Where the copied parts begin, at a multiple of 8.
    func matches(
        _ filter: CompiledFilter, _ copy: ProfileCopy, parts: UnsafeRawPointer, now: Int64
    ) -> Bool {
        let names = self.projects.names(of: copy.header.project)
        return filter.matches(StoredSubject(self, copy.header, names, copiedTo: parts), now: now)
    }

    /// Whether an event and its profile match, as the profile is now.
    ///
    /// For the applier.
    ///
    /// - Parameter event: The content of the event as `EventContent` lays it out.
    func matches(
        _ filter: CompiledFilter, profile: ProfileRef, event: UnsafeRawBufferPointer, now: Int64
    ) -> Bool {
        var subject = StoredSubject(
            self, self.pool.header(profile).pointee, self.project.names)
        subject.event = event
        return filter.matches(subject, now: now)
    }

    /// Whether an event that a Track stores matches, and its profile as it is right after this
    /// event: without those events of the call that follow it.
    ///
    /// For the applier, once the edit is staged and before it is carried out (`finish`): what a
    /// counter's times were is not known any more behind it.
    ///
    /// - Parameters:
    ///   - edit: Of the profile that the event is stored on.
    ///   - number: Of the event among those of the call.
    func matches(
        _ filter: CompiledFilter, _ edit: UnsafeMutablePointer<ProfileEdit>, event number: Int,
        _ call: CallContext
    ) -> Bool {
        let event = self.work.pointee.pending[number]
        var subject = StoredSubject(
            self, self.pool.header(edit.pointee.profile).pointee, self.project.names)
        subject.event = UnsafeRawBufferPointer(
            rebasing: self.work.pointee.contents.bytes[event.storedStart ..< event.storedEnd])
        subject.updatedAt = call.receivedAt
        if edit.pointee.seenAt != 0 { subject.lastSeenAt = edit.pointee.seenAt }
        subject.edit = UnsafePointer(edit)
        subject.pendingCount = number + 1
        return filter.matches(subject, now: call.receivedAt)
    }
}

/// A profile of the store, or a copy of one, and an event.
private struct StoredSubject: FilterSubject {
    private let store: Store
    private let header: ProfileHeader
    /// The parts of a copy, one behind the other; `nil`: they are in the slab.
    private let copy: UnsafeRawPointer?
    let names: NameTable
    var updatedAt: Int64
    var lastSeenAt: Int64
    var event = UnsafeRawBufferPointer.none
    /// An edit that is staged; `nil`: none.
    var edit: UnsafePointer<ProfileEdit>?
    /// How many of its events happened.
    var pendingCount = 0
    var foundNames: UnsafeMutablePointer<FoundNames>?

    init(
        _ store: Store, _ header: ProfileHeader, _ names: NameTable,
        copiedTo copy: UnsafeRawPointer? = nil
    ) {
        self.store = store
        self.header = header
        self.copy = copy
        self.names = names
        self.updatedAt = header.updatedAt
        self.lastSeenAt = header.lastSeenAt
    }

    private var identity: IdentityPart {
        // Only read.
        IdentityPart(UnsafeMutableRawPointer(mutating: self.part(self.header.identity, at: 0)))
    }

    private var attributes: AttributePart? {
        self.header.attributes == 0
            ? nil
            : AttributePart(
                self.part(self.header.attributes, at: self.header.copiedAttributesOffset))
    }

    /// A part in the slab, or in the copy.
    @inline(__always)
    private func part(_ block: Handle, at offset: Int) -> UnsafeRawPointer {
        if let copy = self.copy {
            copy + offset
        } else {
            UnsafeRawPointer(self.store.slab.pointer(block))
        }
    }

    var customID: UnsafeRawBufferPointer { self.identity.customID }
    var state: ProfileState { self.customID.count > 0 ? .identified : .anonymous }
    var createdAt: Int64 { self.header.createdAt }
    var installationCount: Int { self.identity.installationCount }

    func hasInstallation(_ id: UnsafeRawBufferPointer) -> Bool {
        self.identity.installation(id) != nil
    }

    func attribute(_ name: UnsafeRawBufferPointer) -> FilterValue? {
        self.attributes?.filterValue(
            name, self.names, totalBytes: Int(self.header.attributesBytes), known: self.foundNames)
    }

    func hasAttribute(where body: (FilterValue) -> Bool) -> Bool {
        self.attributes?.hasFilterValue(totalBytes: Int(self.header.attributesBytes)) {
            body($1)
        } ?? false
    }

    func counter(_ name: UnsafeRawBufferPointer) -> CounterEntry? {
        var found: CounterEntry?
        if self.header.counters != 0 {
            let counters = self.part(
                self.header.counters, at: self.header.copiedCountersOffset)
            for index in 0 ..< Int(self.header.counterCount) {
                let counter = counters.loadUnaligned(
                    fromByteOffset: index * MemoryLayout<CounterEntry>.stride,
                    as: CounterEntry.self)
                guard self.names.name(Int(counter.name)).equals(name) else { continue }
                found = counter
                break
            }
        }
        guard let edit = self.edit else { return found }
        for number in 0 ..< self.pendingCount {
            let event = self.store.work.pointee.pending + number
            guard edit.pointee.takes(event),
                self.names.name(Int(event.pointee.name)).equals(name)
            else { continue }
            let time = event.pointee.effectiveTime
            if found == nil {
                found = CounterEntry(name: event.pointee.name, count: 1, first: time, last: time)
            } else {
                found?.add(time)
            }
        }
        return found
    }

    func subscription(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> SubscriptionState {
        guard self.header.consent != 0 else { return .unset }
        var reader = ByteReader(
            UnsafeRawBufferPointer(
                start: self.part(self.header.consent, at: self.header.copiedConsentOffset),
                count: Int(self.header.consentBytes)))
        while reader.remaining > 0, let key = ConsentPart.readKey(&reader) {
            if key.isKey(channel, topic) { return key.stored.state }
        }
        return .unset
    }

    func isSuppressed(_ channel: Channel) -> Bool {
        let native: NativeAttribute
        switch channel {
        case .email: native = .emailAddress
        case .sms: native = .phoneNumber
        // Suppressions are of addresses.
        case .push: return false
        }
        guard let value = self.attribute(native.nameBytes), value.tag == .string else {
            return false
        }
        var reader = value.reader
        return !self.store.suppressionReasons(
            self.header.project, channel, reader.readPrefixed()
        ).isEmpty
    }
}
