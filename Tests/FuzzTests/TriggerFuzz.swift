import Bytes

@testable import Profiles

/// Triggers and what waits for them: by records of all kinds, and out of the items of a snapshot.
enum TriggerFuzz {
    /// The first byte selects the way.
    static func triggers(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[1...])
        if first.isMultiple(of: 2) { self.records(rest) } else { self.items(rest) }
    }

    // MARK: Records

    /// More steps than find anything that fewer do not.
    private static let stepsMax = 256

    /// Steps of a byte each, with its arguments behind it.
    private static func records(_ bytes: UnsafeRawBufferPointer) {
        let world = TriggerWorld()
        var reader = ByteReader(bytes)
        for _ in 0 ..< self.stepsMax where reader.remaining > 0 {
            guard self.step(&reader, world) else { return }
            TriggerChecks.checkCounts(of: world.store)
        }
        world.endSnapshot()
        world.reload()
    }

    /// - Returns: False if a record was malformed.
    private static func step(_ reader: inout ByteReader, _ world: TriggerWorld) -> Bool {
        let step = reader.read(UInt8.self)
        switch step % 16 {
        case 0 ... 3: world.track(&reader)
        case 4: world.identify(device: reader.read(), as: reader.read())
        case 5, 6: world.tick(afterSeconds: reader.read())
        case 7: world.settle(trigger: reader.read(), count: reader.read())
        case 8: world.deleteTrigger(reader.read())
        case 9, 10: world.createTrigger(&reader)
        case 11: world.erase(reader.read())
        case 12: world.reload()
        case 13: world.advanceSnapshot(bytes: reader.read())
        case 14: world.batch(&reader)
        // A payload as a record has it.
        default:
            let kinds: [RecordKind] = [.createTrigger, .deleteTrigger, .settleFirings]
            let kind = kinds[Int(reader.read(UInt8.self)) % kinds.count]
            let payload = reader.readPrefixed()
            return world.apply(kind) { $0.append(payload) }
        }
        return true
    }

    // MARK: Items

    /// The items of a snapshot without those of triggers.
    private struct Frame: Sendable {
        /// `state` and the projects.
        var head: [UInt8]
        var tail: [UInt8]
        /// Where `head` has the numbers of triggers, firings and times.
        var totalsOffset: Int
    }

    private static let frame: Frame = {
        var frame = Frame(head: [], tail: [], totalsOffset: 0)
        let world = TriggerWorld.sample()
        for block in world.snapshotBlocks() {
            block.withUnsafeBytes { block in
                var reader = ByteReader(block)
                while reader.remaining > 0 {
                    let start = reader.offset
                    let item = SnapshotItem(rawValue: UInt8(reader.read(UInt32.self)))
                    _ = reader.read(count: Int(reader.read(UInt32.self)))
                    let bytes = block[start ..< reader.offset]
                    switch item {
                    case .trigger, .firing, .firedTimes: break
                    case .state, .project:
                        frame.head += bytes
                        // They are the last of its fields.
                        if item == .state { frame.totalsOffset = frame.head.count - 3 * 8 }
                    default: frame.tail += bytes
                    }
                }
            }
        }
        return frame
    }()

    /// Items of triggers, each as `kind: UInt8 | bytes: UInt16 | body`, in a snapshot whose numbers
    /// fit. A store that comes out of it is one that records can do anything to.
    private static func items(_ bytes: UnsafeRawBufferPointer) {
        var items = ByteBuffer()
        var (triggers, firings, fired) = (UInt64(0), UInt64(0), UInt64(0))
        var reader = ByteReader(bytes)
        while reader.remaining >= 3 {
            let kind = SnapshotItem.trigger.rawValue + reader.read(UInt8.self) % 3
            let body = reader.read(count: min(Int(reader.read(UInt16.self)), reader.remaining))
            switch SnapshotItem(rawValue: kind) {
            case .trigger: triggers += 1
            case .firing: firings += 1
            default: fired += UInt64(max(1, (body.count - 12) / 20))
            }
            items.append(UInt32(kind))
            items.append(UInt32(body.count))
            items.append(body)
        }
        var block = ByteBuffer()
        self.frame.head.withUnsafeBytes { block.append($0) }
        block.append(items.bytes)
        self.frame.tail.withUnsafeBytes { block.append($0) }
        for (index, total) in [triggers, firings, fired].enumerated() {
            block.patch(total, at: self.frame.totalsOffset + index * 8)
        }
        let loader = StoreLoader(bytes: block.count)
        guard (try? loader.load(block.bytes)) != nil, let store = try? loader.finish() else {
            return
        }
        self.use(TriggerWorld(store))
    }

    /// Does everything with what a snapshot brought.
    private static func use(_ world: TriggerWorld) {
        TriggerChecks.checkCounts(of: world.store)
        world.readPending()
        world.reload()
        // Each step with its arguments.
        let program: [UInt8] = [
            5, 1, 0, 0, 0, 0, 1, 0x40, 5, 200, 4, 0, 1, 7, 0, 8, 9, 0, 0, 0, 0, 13, 8, 0, 2, 0, 11,
            0, 8, 0, 8, 1, 12, 5, 200, 5, 200, 7, 1, 4, 12,
        ]
        program.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            while reader.remaining > 0, self.step(&reader, world) {
                TriggerChecks.checkCounts(of: world.store)
            }
        }
        world.endSnapshot()
        for info in world.triggers { world.delete(info.id) }
        var ticks = 0
        while world.store.triggers.nextDue < .max {
            world.tick(afterSeconds: 255)
            ticks += 1
            precondition(ticks < 1_000, "what is deleted does not go")
        }
        precondition(world.store.triggers.projects.isEmpty, "a deleted trigger stays")
        world.reload()
    }
}

/// What must hold of triggers between two records.
enum TriggerChecks {
    /// The numbers and links are those of the queues.
    static func checkCounts(of store: Store) {
        let triggers = store.triggers
        var counts = TriggerCounts()
        for project in triggers.projects {
            var (pending, waiting, bytes) = (0, 0, (pending: 0, waiting: 0))
            for trigger in project.all {
                var ownPending = 0
                trigger.firings.forEach { entry in
                    let firing = triggers.firing(entry.block)
                    precondition(firing.event.lsn == entry.lsn, "a queue names its events")
                    let owner = triggers.owner(firing.owner)
                    precondition(owner.trigger == trigger.createdLSN, "an owner is of its trigger")
                    precondition(
                        triggers.owner(trigger, owner.profile) == firing.owner,
                        "an owner is found")
                    precondition(
                        triggers.firing(firing.next).previous == entry.block, "a circle is closed")
                    if trigger.isPending(entry.lsn) {
                        ownPending += 1
                        bytes.pending += firing.totalBytes
                    } else {
                        precondition(trigger.delay > 0, "without a delay nothing waits")
                        waiting += 1
                        bytes.waiting += firing.totalBytes
                    }
                }
                trigger.fired.forEach { entry in
                    let owner = triggers.owner(triggers.firedTime(entry.block).owner)
                    precondition(owner.firedCount <= trigger.definition.cap, "a cap bounds them")
                }
                precondition(trigger.pendingCount == ownPending, "pending firings are counted")
                pending += ownPending
                if !trigger.isDeleted { counts.triggers += 1 }
            }
            precondition(
                project.pendingCount == pending && project.waitingCount == waiting
                    && project.pendingBytes == bytes.pending
                    && project.waitingBytes == bytes.waiting, "a project counts its firings")
            precondition(
                pending <= triggers.limits.pendingFirings
                    && waiting <= triggers.limits.waitingFirings, "firings are bounded")
            counts.pending += UInt64(pending)
            counts.waiting += UInt64(waiting)
        }
        let known = triggers.counts
        precondition(
            known.pending == counts.pending && known.waiting == counts.waiting
                && known.triggers == counts.triggers, "metrics are those of the state")
    }
}
