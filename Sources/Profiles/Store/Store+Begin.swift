import Bytes

// The checks that every command shares, in the order of the contract: the project, then identifiers
// that are blocked after an erasure, then the request id. What depends on the state of a profile
// (`expected_revision`, existence) follows in the command itself. Source: docs/rules.md, section 1.
//
// SAFETY: the head of a command borrows from its record, which lives until `apply` returns; headers
// are read by the applier, the only thread that changes them.

/// What the log added to a record.
struct CallContext {
    var firstLSN: UInt64
    /// Of the last operation.
    var lsn: UInt64
    /// Microseconds since 1970; later than that of every call before. What is stored is stamped
    /// with it.
    var receivedAt: Int64
    /// The machine's clock in microseconds since 1970, never after `receivedAt`. Windows and ages
    /// are measured by it.
    var clock: Int64
    var rules: Rules

    /// - Parameter clock: `nil`: it is `receivedAt`.
    init(firstLSN: UInt64, lsn: UInt64, receivedAt: Int64, clock: Int64? = nil, rules: Rules) {
        self.firstLSN = firstLSN
        self.lsn = lsn
        self.receivedAt = receivedAt
        self.clock = clock ?? receivedAt
        self.rules = rules
    }
}

/// The rules that the outcome of one record follows: those of the release that wrote its frame.
///
/// A release that changes an outcome raises `Store.rulesVersion` and adds a property here, named
/// after the rule and defined by a comparison with `version`. The command asks the property and
/// keeps both branches next to each other, so replaying an old log still takes the old branch. Code
/// outside of this type never compares version numbers.
struct Rules: Equatable {
    /// Of the frame, 1 ... `Store.rulesVersion`.
    let version: UInt32

    static let current = Rules(version: Store.rulesVersion)

    /// Addresses are compared in any spelling (`AddressKey`), not only in any case of ASCII.
    var comparesAddressesByKey: Bool { self.version >= 2 }

    /// Each call of a frame is a microsecond later than the one before; before, all of them had the
    /// time of the frame.
    var hasTimePerCall: Bool { self.version >= 2 }
    /// Of two opt-outs the later time is kept, with the person's source if one of them is; before,
    /// all of a person's older one was kept, so that an opt-in between the two undid the later one.
    var joinsOptOuts: Bool { self.version >= 2 }
    /// What withdraws an opt-out needs the same act for UNSET as for SUBSCRIBED: the keyword after
    /// an opt-out by keyword, a person's act while a PENDING represents an opt-out.
    var guardsUnset: Bool { self.version >= 2 }
    /// In a merge any newer act of a person beats an opt-out, and nothing else does; before, a
    /// person's newer UNSET or PENDING lost.
    var mergesByAct: Bool { self.version >= 2 }
    /// UNSET topics do not count among the topics of a channel, and are remembered up to a bound.
    var countsSetTopicsOnly: Bool { self.version >= 2 }
    /// In a merge the removes of a side that has no list are no value of that side.
    var ignoresRemovesAlone: Bool { self.version >= 2 }
    /// A `set` of a list is stale if a newer remove keeps one of its elements out.
    var reportsElementsKeptOut: Bool { self.version >= 2 }
    /// An `add` or `remove` of no elements changes nothing; before, an `add` left an attribute that
    /// was never written.
    var ignoresEmptyLists: Bool { self.version >= 2 }
    /// A device has the app or web platform that a call of its own named last; before, whatever
    /// the call named that made it known.
    var updatesPlatforms: Bool { self.version >= 2 }
    /// Projects have a revision and the time of their creation; before, there was one without
    /// either.
    var knowsProjects: Bool { self.version >= 2 }
    /// Messages that differ in the time of sending only are equal for a request id.
    var ignoresSentAtOfRetries: Bool { self.version >= 2 }

    /// A merge keeps all that undoing it needs, and its id proves itself; attributes name the part
    /// of the profile through whose identifier they were written, not the device.
    var keepsMergeUndo: Bool { self.version >= 3 }

    /// The platform that a call gives a device; 0: it keeps what it has, which is unspecified at
    /// first.
    ///
    /// - Parameter named: By the call's source.
    func platform(named: UInt8) -> UInt8 {
        self.updatesPlatforms && Platform.ofDevices.contains(named)
            ? named : Platform.unspecified.rawValue
    }

    /// The platform of a device that a call makes known.
    func platform(ofNew named: UInt8) -> UInt8 {
        self.updatesPlatforms ? self.platform(named: named) : named
    }
}

/// What the shared checks need to know about a command, read from its payload.
struct CommandHead {
    /// An identifier that the command names.
    struct Subject {
        var identifier: IdentifierView
        /// In the project's identifier index.
        var hash: UInt64
    }

    var kind: RecordKind
    var project: ProjectID
    /// Empty: the call has none.
    var requestID: UnsafeRawBufferPointer
    /// The identifiers that are resolved and, if they name no profile, must not be blocked; in the
    /// order in which a block is reported.
    var first: Subject?
    var second: Subject?
    /// `nil`: the message has no time of sending.
    var sentAt: SentAtField?
    /// The command is of no project: what is remembered of it belongs to the instance.
    var isOfInstance = false
    /// Whether the command is served while its project is being deleted.
    var whileDeleting = ServiceWhileDeleting.rejected
    /// Whether a request id whose response was erased proceeds as if the call had none, instead of
    /// being rejected.
    var proceedsAfterErasure = false
}

/// Whether a command is served while its project is being deleted.
enum ServiceWhileDeleting: UInt8 {
    case rejected
    /// Until the deletion is final.
    case untilDue
    /// As long as the project has its name.
    case served
}

/// A command that passed the shared checks.
struct AdmittedCall {
    /// The request id and its entry; `nil`: the call has none, and its response is not kept.
    var lookup: DeduplicationLookup?
    /// The profiles that `CommandHead.first` and `second` name; `nil`: there is none.
    var first: (profile: ProfileRef, isAlias: Bool)?
    var second: (profile: ProfileRef, isAlias: Bool)?
}

/// How a command leaves the shared checks.
enum BeginOutcome {
    case proceed(AdmittedCall)
    /// The first response to this request id was appended.
    case replayed
    /// A rejection was appended.
    case rejected
}

extension Store {
    /// Runs the checks that every command shares; appends the result unless the command proceeds.
    ///
    /// Inlined, so that a command pays only for the checks that its constant head asks for: a Track
    /// without a request id costs what its index lookup costs.
    ///
    /// - Parameter record: The record that `command.requestID` is a slice of.
    @inline(__always)
    func begin(
        _ command: CommandHead, _ record: RecordView, _ call: CallContext,
        results: inout ByteBuffer
    ) -> BeginOutcome {
        if self.project.id != command.project || !self.project.isLive {
            let rejection = self.selectProject(of: command, call)
            guard rejection == .none else {
                self.appendRejection(rejection, command.kind, call, into: &results)
                return .rejected
            }
        }
        var admitted = AdmittedCall()
        if let subject = command.first {
            admitted.first = self.identities.find(
                command.project, subject.identifier, hash: subject.hash)
            if admitted.first == nil, self.rejectBlocked(subject, command, call, into: &results) {
                return .rejected
            }
        }
        if let subject = command.second {
            admitted.second = self.identities.find(
                command.project, subject.identifier, hash: subject.hash)
            if admitted.second == nil, self.rejectBlocked(subject, command, call, into: &results) {
                return .rejected
            }
        }
        guard command.requestID.count > 0 else { return .proceed(admitted) }
        let lookup = self.requests.lookUp(
            self.project, command.kind, command.requestID, in: record.payload, now: call.clock,
            equal: self.equalFingerprint(command, record, call))
        guard let entry = lookup.entry else {
            admitted.lookup = lookup
            return .proceed(admitted)
        }
        if entry.isErased, command.proceedsAfterErasure { return .proceed(admitted) }
        return self.replay(entry, lookup, call, into: &results)
    }

    /// Keeps the response in `results` from `start` on for the call's request id, if it has one.
    @inline(__always)
    func end(
        _ admitted: AdmittedCall, _ results: borrowing ByteBuffer, from start: Int,
        _ call: CallContext
    ) {
        guard let lookup = admitted.lookup else { return }
        self.requests.remember(
            lookup,
            response: UnsafeRawBufferPointer(rebasing: results.bytes[start ..< results.count]),
            receivedAt: call.receivedAt, now: call.clock)
        self.responseKept(call)
    }

    /// Notes that a response was kept.
    @inline(__always)
    func responseKept(_ call: CallContext) {
        self.state.pointee.oldest.request = min(
            self.state.pointee.oldest.request, call.receivedAt)
        self.publishRequestIDHorizon(now: call.clock)
    }

    /// Selects the project of a command; out of line: most commands are of the project of the one
    /// before.
    @inline(never)
    private func selectProject(of command: CommandHead, _ call: CallContext) -> Rejection {
        if command.isOfInstance {
            self.select(self.projects.instance)
            return .none
        }
        guard let project = self.projects.find(command.project) else { return .projectNotFound }
        self.select(project)
        guard !project.isLive else { return .none }
        switch command.whileDeleting {
        case .rejected: return .projectDeleted
        case .served: return .none
        case .untilDue:
            // The clock alone does not tell: it may have been set back since the removal began.
            let isFinal =
                project.isBeingRemoved || call.clock >= project.record.pointee.details.deleteDue
            return isFinal ? .projectDeleted : .none
        }
    }

    /// Makes a project that of the record that is applied.
    func select(_ project: Project) {
        self.settleBytes()
        self.state.pointee.project = project
    }

    /// Counts the bytes that the slab was asked for since the last call for the selected project,
    /// and shows readers what it holds.
    @inline(__always)
    func settleBytes() {
        let bytes = self.slab.bytesInUse
        let project = self.project
        project.record.pointee.counts.bytes &+= bytes &- self.state.pointee.accountedBytes
        self.state.pointee.accountedBytes = bytes
        project.publishCounts()
    }

    /// Rejects a call whose identifier is blocked; false: it is not. Out of line: nearly every
    /// identifier names a profile.
    @inline(never)
    private func rejectBlocked(
        _ subject: CommandHead.Subject, _ command: CommandHead, _ call: CallContext,
        into results: inout ByteBuffer
    ) -> Bool {
        let until = self.erasure.blockedUntil(
            command.project, subject.identifier, now: call.clock)
        guard let until else { return false }
        self.appendRejection(
            .identifierErased, command.kind, call, detail: UInt64(bitPattern: until),
            into: &results)
        return true
    }

    /// Appends the first response to a request id, or a rejection if the message differs or the
    /// response was erased.
    private func replay(
        _ entry: RequestDeduplication.DeduplicationEntry, _ lookup: DeduplicationLookup,
        _ call: CallContext, into results: inout ByteBuffer
    ) -> BeginOutcome {
        guard !entry.isErased else {
            self.appendRejection(.identifierErased, lookup.kind, call, into: &results)
            return .rejected
        }
        // An entry of older rules has the fingerprint of every byte.
        guard entry.fingerprint == lookup.fingerprint || entry.fingerprint == lookup.exact else {
            self.appendRejection(.requestIDReused, lookup.kind, call, into: &results)
            return .rejected
        }
        self.appendReplay(entry.response, into: &results)
        return .replayed
    }
}
