import Bytes

@testable import Profiles

/// A store whose triggers have small limits, and the records that reach them.
final class TriggerWorld {
    private static let project = ProjectID(rawValue: 1)
    private static let second: Int64 = 1_000_000
    private static let startMicroseconds: Int64 = 1_700_000_000_000_000
    private static let names = ["a", "b", "c"]
    private static let people = ["p", "q", "r"]
    private static let devices = ["d", "e", "f"]
    private static let filters = [
        "", "", "events.a.count > 1", "event.label = \"x\"", "NOT custom_id = \"p\"", "nothing",
        "(", "event.attributes.n >= 2 OR state = IDENTIFIED",
    ]

    private(set) var store: Store
    private(set) var now: Int64
    /// Of the state when the running snapshot began; `nil`: none runs.
    private var snapshotDigest: UInt64?
    private var snapshotBlocksSoFar: [[UInt8]] = []
    /// A store is dear to make: more than a few bring more records to fewer inputs.
    private var reloadsLeft = 4

    init(_ store: Store? = nil) {
        self.store =
            store
            ?? Store(
                genesis: Genesis(
                    directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                    secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
        self.now = max(self.store.lastReceivedAt, Self.startMicroseconds)
        if store == nil { self.reduceLimits() }
    }

    private func reduceLimits() {
        self.store.triggers.limits.pendingFirings = 6
        self.store.triggers.limits.waitingFirings = 7
    }

    /// One with everything that triggers have.
    static func sample() -> TriggerWorld {
        let world = TriggerWorld(
            Store(
                genesis: Genesis(
                    directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                    secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits())))
        world.create { ($0.cap, $0.capPeriodSeconds) = (3, 1_000) }
        world.create { ($0.delaySeconds, $0.unlessEventName) = (60, Array("c".utf8)) }
        world.create { ($0.delaySeconds, $0.cap, $0.capPeriodSeconds) = (5, 1, 50) }
        for person in Self.people { world.track(.customID, person, ["a"], []) }
        world.track(.installationID, "d", ["a", "b"], [])
        world.identify(device: 0, as: 1)
        world.tick(afterSeconds: 6)
        world.track(.customID, "q", ["a"], [])
        world.delete(world.triggers[2].id)
        return world
    }

    var triggers: [TriggerInfo] { self.store.triggers.list(of: Self.project) }

    // MARK: Records

    /// - Returns: False if the record is malformed.
    @discardableResult
    func apply(
        _ kind: RecordKind, operations: Int = 1, _ write: (inout ByteBuffer) -> Void
    ) -> Bool {
        var record = ByteBuffer()
        let start = beginRecord(kind, in: &record)
        write(&record)
        endRecord(at: start, operations: operations, in: &record)
        guard let view = RecordView(record.bytes) else {
            preconditionFailure("a record that was written is not read")
        }
        var results = ByteBuffer()
        do throws(ApplyError) {
            try self.store.apply(
                view, firstLSN: self.store.appliedLSN + 1, receivedAt: self.now,
                results: &results)
        } catch {
            return false
        }
        precondition(results.count > 0, "a record has a result")
        return true
    }

    /// Two bytes: who, and up to three events; flags.
    func track(_ reader: inout ByteReader) {
        let (who, what) = (reader.read(UInt8.self), reader.read(UInt8.self))
        self.now += Int64(who >> 4) * Self.second
        let (kind, identifier) = Self.identifier(who)
        self.track(kind, identifier, Self.events(what), what & 0x80 == 0 ? [] : .historical)
    }

    private static func identifier(_ byte: UInt8) -> (IdentifierKind, String) {
        let index = Int(byte & 0x0F)
        return index.isMultiple(of: 2)
            ? (.customID, self.people[index / 2 % 3])
            : (.installationID, self.devices[index / 2 % 3])
    }

    private static func events(_ byte: UInt8) -> [String] {
        (0 ... Int(byte >> 5 & 3) % 3).map { self.names[Int(byte >> ($0 * 2) & 3) % 3] }
    }

    private func track(
        _ kind: IdentifierKind, _ identifier: String, _ events: [String], _ flags: TrackFlags
    ) {
        let isApplied = self.apply(.track, operations: events.count) {
            Self.writeTrack(kind, identifier, events, flags, into: &$0)
        }
        precondition(isApplied, "a Track is malformed")
    }

    private static func writeTrack(
        _ kind: IdentifierKind, _ identifier: String, _ events: [String], _ flags: TrackFlags,
        into buffer: inout ByteBuffer
    ) {
        identifier.withBytes { identifier in
            TrackHeader(
                project: self.project, flags: flags, platform: 1, eventCount: events.count,
                identifier: IdentifierView(kind: kind, bytes: identifier), requestID: .none,
                sourceName: .none, sentAt: 0, expectedRevision: 0
            ).write(into: &buffer)
        }
        for (index, name) in events.enumerated() {
            buffer.append(UInt8(0))
            buffer.appendPrefixed(.none)
            name.withBytes { buffer.appendPrefixed($0) }
            "x".withBytes { buffer.appendPrefixed($0) }
            buffer.appendVarint(0)
            var fields = ByteBuffer()
            fields.appendVarint(1)
            "n".withBytes { fields.appendPrefixed($0) }
            fields.appendPacked(integer: Int64(index))
            buffer.appendPrefixed(fields.bytes)
        }
    }

    /// As up to four Tracks; the last one may be of nobody, which takes an atomic batch back.
    func batch(_ reader: inout ByteReader) {
        let flags = reader.read(UInt8.self)
        let tracks = (0 ... Int(flags & 3)).map { _ in
            (Self.identifier(reader.read()), Self.events(reader.read()))
        }
        let fails = flags & 4 != 0
        let operations = tracks.reduce(fails ? 1 : 0) { $0 + $1.1.count }
        let isApplied = self.apply(.batch, operations: operations) { buffer in
            BatchHeader(
                project: Self.project, flags: flags & 8 == 0 ? [] : .bestEffort, requestID: .none,
                itemCount: tracks.count + (fails ? 1 : 0)
            ).write(into: &buffer)
            for ((kind, identifier), events) in tracks {
                let item = beginBatchItem(.track, in: &buffer)
                Self.writeTrack(kind, identifier, events, [], into: &buffer)
                endBatchItem(at: item, operations: events.count, in: &buffer)
            }
            guard fails else { return }
            let item = beginBatchItem(.track, in: &buffer)
            Self.writeTrack(.customID, "nobody", ["a"], .mustExist, into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
        }
        precondition(isApplied, "a batch is malformed")
    }

    func identify(device: UInt8, as person: UInt8) {
        let isApplied = self.apply(.identify) { buffer in
            Self.devices[Int(device) % 3].withBytes { device in
                Self.people[Int(person) % 3].withBytes { person in
                    IdentifyHeader(
                        project: Self.project, flags: [], platform: 3, installationID: device,
                        customID: person, requestID: .none, sourceName: .none, occurredAt: 0,
                        sentAt: 0, expectedRevision: 0
                    ).write(into: &buffer)
                }
            }
            buffer.appendVarint(0)
        }
        precondition(isApplied, "an Identify is malformed")
    }

    func erase(_ person: UInt8) {
        let isApplied = self.apply(.erase) { buffer in
            Self.people[Int(person) % 3].withBytes { person in
                self.store.withEraseCommand(
                    Self.project, IdentifierView(kind: .customID, bytes: person),
                    requestID: .none, expectedRevision: nil
                ) { $0.write(into: &buffer) }
            }
        }
        precondition(isApplied, "an erasure is malformed")
    }

    func tick(afterSeconds seconds: UInt8) {
        self.now += Int64(seconds) * Self.second
        precondition(self.apply(.tick) { _ in }, "a tick is malformed")
    }

    // MARK: Triggers

    /// Four bytes: names, filter, delay, cap.
    func createTrigger(_ reader: inout ByteReader) {
        let (names, filter): (UInt8, UInt8) = (reader.read(), reader.read())
        let (delay, cap): (UInt8, UInt8) = (reader.read(), reader.read())
        self.create {
            $0.eventName = Array(Self.names[Int(names & 3) % 3].utf8)
            $0.filter = Array(Self.filters[Int(filter) % Self.filters.count].utf8)
            $0.delaySeconds = UInt64(delay)
            if names & 4 != 0, delay > 0 {
                $0.unlessEventName = Array(Self.names[Int(names >> 4) % 3].utf8)
            }
            ($0.cap, $0.capPeriodSeconds) = (UInt32(cap & 3), cap & 3 == 0 ? 0 : UInt64(cap) + 1)
        }
    }

    /// An invalid filter is malformed in a record.
    private func create(_ change: (inout TriggerDefinition) -> Void) {
        var definition = TriggerDefinition(eventName: Array("a".utf8))
        change(&definition)
        _ = self.apply(.createTrigger) {
            CreateTriggerCommand(
                project: Self.project, requestID: .none, definition: definition
            ).write(into: &$0)
        }
    }

    func deleteTrigger(_ index: UInt8) {
        let triggers = self.triggers
        guard !triggers.isEmpty else { return }
        self.delete(triggers[Int(index) % triggers.count].id)
    }

    func delete(_ id: ProfileID) {
        let isApplied = self.apply(.deleteTrigger) {
            DeleteTriggerCommand(project: Self.project, requestID: .none, trigger: id)
                .write(into: &$0)
        }
        precondition(isApplied, "a deletion is malformed")
    }

    /// Settles the oldest pending firings, and an lsn that may be anything.
    func settle(trigger index: UInt8, count: UInt8) {
        let triggers = self.triggers
        guard !triggers.isEmpty else { return }
        let trigger = triggers[Int(index) % triggers.count]
        var lsns = [self.store.appliedLSN &- UInt64(count)]
        _ = self.store.triggers.forEachPending(
            of: trigger.id, in: Self.project, after: 0, limit: Int(count % 8)
        ) { lsns.append($0.eventLSN) }
        let isApplied = self.apply(.settleFirings) {
            SettleFiringsCommand.write(
                project: Self.project, triggerLSN: trigger.createdLSN,
                count & 0x10 == 0 ? .acknowledged : .guarded, lsns, into: &$0)
        }
        precondition(isApplied, "a settlement is malformed")
    }

    /// Reads what a delivery reads.
    func readPending() {
        for info in self.triggers {
            var (count, last) = (0, UInt64(0))
            let isKnown = self.store.triggers.forEachPending(
                of: info.id, in: Self.project, after: 0, limit: .max
            ) { firing in
                precondition(firing.eventLSN > last, "firings come by the lsns of their events")
                last = firing.eventLSN
                count += 1
                var image = ByteBuffer()
                firing.appendEvent(of: Self.project, self.store, to: &image)
                precondition(image.count > 0, "a firing has an event")
            }
            precondition(isKnown && count == info.pending, "a listed trigger counts its firings")
        }
    }

    // MARK: Snapshots

    /// The blocks of a snapshot of the present state.
    func snapshotBlocks() -> [[UInt8]] {
        self.store.beginSnapshot()
        defer { self.store.endSnapshot() }
        return self.takeBlocks(bytes: .max)
    }

    private func takeBlocks(bytes: Int) -> [[UInt8]] {
        self.store.advanceSnapshot(bytes: bytes)
        var blocks: [[UInt8]] = []
        while let block = self.store.takeSnapshotBlock() { blocks.append(Array(block.bytes)) }
        return blocks
    }

    private func load(_ blocks: [[UInt8]], _ digest: UInt64) -> Store {
        let loader = StoreLoader(bytes: blocks.reduce(0) { $0 + $1.count })
        do throws(SnapshotError) {
            for block in blocks {
                let isLoaded = block.withUnsafeBytes { (try? loader.load($0)) != nil }
                precondition(isLoaded, "a block of an applied state is rejected")
            }
            let loaded = try loader.finish()
            precondition(loaded.digest() == digest, "a snapshot brings another state back")
            return loaded
        } catch {
            preconditionFailure("a snapshot of an applied state is rejected: \(error)")
        }
    }

    /// Goes on with what a snapshot brings back.
    func reload() {
        self.endSnapshot()
        guard self.reloadsLeft > 0 else { return }
        self.reloadsLeft -= 1
        let limits = self.store.triggers.limits
        self.store = self.load(self.snapshotBlocks(), self.store.digest())
        self.store.triggers.limits = limits
        TriggerChecks.checkCounts(of: self.store)
    }

    /// Begins a snapshot, or goes on with it while records are applied.
    func advanceSnapshot(bytes: UInt8) {
        if self.snapshotDigest == nil {
            guard self.reloadsLeft > 0 else { return }
            self.reloadsLeft -= 1
            self.snapshotDigest = self.store.digest()
            self.store.beginSnapshot()
        }
        self.snapshotBlocksSoFar += self.takeBlocks(bytes: Int(bytes))
    }

    /// A snapshot has the state as it was when it began.
    func endSnapshot() {
        guard let digest = self.snapshotDigest else { return }
        self.snapshotBlocksSoFar += self.takeBlocks(bytes: .max)
        self.store.endSnapshot()
        _ = self.load(self.snapshotBlocksSoFar, digest)
        (self.snapshotDigest, self.snapshotBlocksSoFar) = (nil, [])
    }
}

extension String {
    fileprivate func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        Array(self.utf8).withUnsafeBytes(body)
    }
}
