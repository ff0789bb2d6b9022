import Bytes
import IOLinux
import Messages
import Profiles

/// One profile of a dump, as messages of the contract.
package struct DumpedProfile {
    /// The name of its project.
    package var project: String
    /// A serialised GetProfileResponse with the metadata of attributes.
    package var profile: UnsafeRawBufferPointer
    /// A serialised ListEventsResponse of all retained events, oldest first; empty if there are
    /// none or they were not requested.
    package var events: UnsafeRawBufferPointer
    /// A serialised ListConsentHistoryResponse of the whole ledger, oldest first; empty if there
    /// are no entries or they were not requested.
    package var ledger: UnsafeRawBufferPointer
}

/// A firing of a dump.
package struct DumpedFiring {
    package var firingID: String
    package var triggerID: String
    /// The profile that its event was credited to.
    package var profileID: String
    /// A serialised ListEventsResponse of its event alone.
    package var event: UnsafeRawBufferPointer
    package var lsn: UInt64
    /// When it is due, in microseconds since 1970.
    package var dueAt: Int64
    /// Whether it has become due: only then is it delivered.
    package var isPending: Bool
}

/// One trigger of a dump, or one of its firings.
package enum DumpedTrigger {
    /// A serialised ListTriggersResponse of this trigger alone.
    case trigger(UnsafeRawBufferPointer)
    case firing(DumpedFiring)
}

/// Dumps a store profile by profile, with the encoders of GetProfile, ListEvents and
/// ListConsentHistory responses.
///
/// The order is that of the store, which depends on the log alone, so two dumps of one state are
/// equal. Memory besides the store: that of the largest profile.
package struct Dump {
    /// Events per page.
    private static let eventPageSize = 1_000

    private let store: Store
    private let withEvents: Bool
    private let withLedger: Bool
    /// `nil`: the profiles of all projects.
    private let project: ProjectID?

    /// - Parameter project: The name of the only project to dump; `nil`: all of them.
    /// - Returns: `nil` if there is no project of that name.
    package init?(of store: Store, project name: String?, withEvents: Bool, withLedger: Bool) {
        self.store = store
        self.project = name.flatMap { name in
            store.projects(after: [], limit: store.projectCount).first {
                $0.name.elementsEqual(name.utf8)
            }?.id
        }
        guard name == nil || self.project != nil else { return nil }
        self.withEvents = withEvents
        self.withLedger = withLedger
    }

    /// - Parameter body: Receives buffers that are valid during the call only; returns whether it
    ///   wants more.
    package func forEachProfile(_ body: (DumpedProfile) -> Bool) {
        var continues = true
        let encoder = MessageEncoder()
        // The time of the last record rather than the current time, so that a dump of a backup
        // gives the same result on any day; unless a clock that ran ahead made that time, by which
        // events would be past their retention that are not.
        let now = min(self.store.lastReceivedAt, LinuxClock().wallMicroseconds())
        let appliedLSN = self.store.appliedLSN
        var profile = ByteBuffer(capacity: 64 << 10)
        var events = ByteBuffer()
        var ledger = ByteBuffer()
        var names: [ProjectID: String] = [:]
        self.store.forEachProfile(now: now) { project, image in
            // The store's walk has no end but its own; without the encoding it takes no time.
            guard continues, self.project == nil || self.project == project else { return }
            let name = names[project] ?? self.name(of: project)
            names[project] = name
            profile.removeAll()
            events.removeAll()
            ledger.removeAll()
            encoder.encodeWholeProfile(image, appliedLSN: appliedLSN, into: &profile)
            if self.withEvents {
                self.store.forEachEventPage(
                    project: project, id: image.profileID, pageSize: Self.eventPageSize, now: now
                ) {
                    encoder.encodeEvents($0, images: $1, into: &events)
                }
            }
            if self.withLedger {
                self.store.withHistory(of: image, project: project) {
                    encoder.encodeConsentEntries($0, into: &ledger)
                }
            }
            continues = body(
                DumpedProfile(
                    project: name, profile: profile.bytes, events: events.bytes,
                    ledger: ledger.bytes))
        }
    }

    /// Every trigger, each followed by its firings; by project, then in the order in which triggers
    /// were made, then in that of the events.
    ///
    /// - Parameter body: Receives the name of the project, and buffers that are valid during the
    ///   call only; returns whether it wants more.
    package func forEachTrigger(_ body: (String, DumpedTrigger) -> Bool) {
        let encoder = MessageEncoder()
        var message = ByteBuffer()
        var continues = true
        for project in self.store.projects(after: [], limit: self.store.projectCount)
        where self.project == nil || self.project == project.id {
            let name = String(decoding: project.name, as: UTF8.self)
            for trigger in self.store.triggers.list(of: project.id) where continues {
                message.removeAll()
                encoder.encodeListTriggersResponse([trigger], into: &message)
                continues = body(name, .trigger(message.bytes))
                self.forEachFiring(of: trigger, in: project.id) {
                    continues = continues && body(name, .firing($0))
                }
            }
        }
    }

    private func forEachFiring(
        of trigger: TriggerInfo, in project: ProjectID, _ body: (DumpedFiring) -> Void
    ) {
        let encoder = MessageEncoder()
        var image = ByteBuffer()
        var event = ByteBuffer()
        let triggerID = Self.text(trigger.id)
        self.store.triggers.forEachFiring(of: trigger.id, in: project) { firing, isPending in
            image.removeAll()
            event.removeAll()
            firing.appendEvent(of: project, self.store, to: &image)
            encoder.encodeEvents(1, images: image.bytes, into: &event)
            body(
                DumpedFiring(
                    firingID: Self.text(firing.id.bits), triggerID: triggerID,
                    profileID: Self.text(firing.profileID), event: event.bytes,
                    lsn: firing.eventLSN, dueAt: firing.dueAt, isPending: isPending))
        }
    }

    private static func text(_ id: ProfileID) -> String {
        id.withText { String(decoding: $0, as: UTF8.self) }
    }

    private func name(of project: ProjectID) -> String {
        String(decoding: self.store.project(project)?.name ?? [], as: UTF8.self)
    }
}
