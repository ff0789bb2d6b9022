import Bytes
import Testing

@testable import Profiles

/// Random records against the model: what is pending, lost and settled, through snapshots.
@Suite struct TriggerModelTests {
    fileprivate static let names = ["a", "b", "c"]
    fileprivate static let project = ProjectID(rawValue: 1)

    /// A store and what must be in it.
    private final class World {
        var fixture = TrackFixture()
        var model: TriggerModel
        var random: SeededRandom
        let limits: TriggerLimits

        init(seed: Int) {
            self.random = SeededRandom(state: UInt64(seed))
            var limits = TriggerLimits()
            limits.pendingFirings = 12
            limits.waitingFirings = 15
            self.limits = limits
            self.model = TriggerModel(limits: limits)
            self.fixture.store.triggers.limits = limits
        }

        /// The profile of an identifier, and whether it has no custom id. The fixture takes no
        /// profile with aliases apart.
        func found(_ kind: IdentifierKind, _ identifier: String)
            -> (id: ProfileID, isAnonymous: Bool)?
        {
            var buffer = ByteBuffer()
            let outcome = withBytes(identifier) {
                self.fixture.store.read(
                    project: TriggerModelTests.project,
                    identifier: IdentifierView(kind: kind, bytes: $0), now: self.fixture.now,
                    into: &buffer)
            }
            guard outcome.finding != .notFound else { return nil }
            return ProfileImage(buffer.bytes).map { ($0.profileID, $0.customID.isEmpty) }
        }

        // MARK: Records

        func step() throws {
            self.fixture.now += Int64(self.random.below(15)) * TrackFixture.second
            switch self.random.below(20) {
            case 0 ..< 8: try self.track()
            case 8: try self.batch()
            case 9, 10: try self.identify()
            case 11 ..< 14: try self.tick()
            case 14, 15: try self.settle()
            case 16: try self.erase()
            case 17, 18: try self.create()
            default: try self.delete()
            }
        }

        private func spec() -> TrackSpec {
            let events = (0 ... self.random.below(3)).map { _ in
                EventSpec(
                    name: TriggerModelTests.names[self.random.below(3)],
                    id: self.random.chance(20) ? "e\(self.random.below(9))" : "")
            }
            var spec =
                self.random.chance(50)
                ? TrackSpec("p\(self.random.below(3))", events)
                : .installation("d\(self.random.below(4))", events)
            if self.random.chance(15) { spec.flags = .historical }
            return spec
        }

        private func note(_ response: TrackResponse, of spec: TrackSpec) {
            for (event, sent) in zip(response.events, spec.events) where event.outcome == .stored {
                self.model.store(
                    sent.name, event.lsn, of: event.holder, receivedAt: self.fixture.now,
                    isHistorical: spec.flags.contains(.historical))
            }
        }

        private func track() throws {
            let spec = self.spec()
            self.note(try self.fixture.track(spec), of: spec)
        }

        private func batch() throws {
            var tracks = (0 ... self.random.below(3)).map { _ in self.spec() }
            if self.random.chance(40) {
                var failing = TrackSpec("nobody")
                failing.flags = .mustExist
                tracks.append(failing)
            }
            let bytes = try self.fixture.apply(
                self.fixture.batch(tracks, isBestEffort: self.random.chance(30)))
            let results = bytes.withUnsafeBytes { bytes -> [[UInt8]] in
                var reader = ByteReader(bytes)
                guard let header = ResultHeader(from: &reader), header.rejection == .none else {
                    return []
                }
                return (0 ..< reader.read(UInt16.self)).map { _ in
                    var item = reader
                    let bytes = ResultHeader(from: &item)?.totalBytes ?? 0
                    return [UInt8](reader.read(count: bytes))
                }
            }
            for (result, spec) in zip(results, tracks) {
                if let response = TrackResponse(result), response.rejection == .none {
                    self.note(response, of: spec)
                }
            }
        }

        private func identify() throws {
            let (device, person) = ("d\(self.random.below(4))", "p\(self.random.below(3))")
            let before = self.found(.installationID, device)
            let survivor = self.found(.customID, person)
            try self.fixture.identify(device, as: person)
            if let before, let survivor, before.isAnonymous {
                self.model.merge(before.id, into: survivor.id)
            }
        }

        private func tick() throws {
            if self.random.chance(30) {
                self.fixture.now += Int64(self.random.below(90)) * TrackFixture.second
            }
            try self.fixture.tick()
            self.model.tick(clock: self.fixture.now)
        }

        private func settle() throws {
            guard !self.model.triggers.isEmpty else { return }
            let index = self.random.below(self.model.triggers.count)
            let made = self.model.triggers[index]
            var lsns = self.model.pending(index).map(\.lsn).filter { _ in self.random.chance(50) }
            lsns.append(UInt64(self.random.below(Int(self.fixture.lsn))))
            let settled = try self.fixture.settle(made.info, lsns)
            #expect(settled == (made.isDeleted ? nil : self.model.settle(index, lsns)))
        }

        private func erase() throws {
            guard self.random.chance(40) else { return }
            let person = "p\(self.random.below(3))"
            let id = self.found(.customID, person)?.id
            try self.fixture.erase(person)
            if let id { self.model.erase(id) }
        }

        private func create() throws {
            guard self.model.triggers.count(where: { !$0.isDeleted }) < 6 else { return }
            let info = try self.fixture.trigger(
                on: TriggerModelTests.names[self.random.below(3)]
            ) {
                if self.random.chance(50) {
                    $0.delaySeconds = UInt64(1 + self.random.below(60))
                    if self.random.chance(60) {
                        let name = TriggerModelTests.names[self.random.below(3)]
                        $0.unlessEventName = Array(name.utf8)
                    }
                }
                if self.random.chance(50) {
                    $0.cap = UInt32(1 + self.random.below(3))
                    $0.capPeriodSeconds = UInt64(1 + self.random.below(100))
                }
            }
            self.model.add(info)
        }

        private func delete() throws {
            guard !self.model.triggers.isEmpty, self.random.chance(40) else { return }
            let index = self.random.below(self.model.triggers.count)
            let header = try self.fixture.deleteTrigger(self.model.triggers[index].info.id)
            #expect(
                (header.rejection == .none) != self.model.triggers[index].isDeleted)
            self.model.triggers[index].isDeleted = true
        }

        // MARK: Comparison

        func check(_ step: Int) {
            var total = 0
            for (index, made) in self.model.triggers.enumerated() {
                let pending = self.fixture.pending(made.info)
                let expected = made.isDeleted ? nil : self.model.pending(index)
                #expect(pending == expected, "trigger \(index) at step \(step)")
                guard !made.isDeleted, let info = self.fixture.info(made.info) else { continue }
                #expect(info.lost == made.lost && info.pending == expected?.count)
                total += 1
            }
            let counts = self.fixture.store.triggers.counts
            #expect(TrackFixture.triggers(of: self.fixture.store).count == total)
            #expect(counts.waiting == UInt64(self.model.firings.count { !$0.isPending }))
            #expect(counts.pending == UInt64(self.model.firings.count { $0.isPending }))
        }

        /// Goes on with a store out of a snapshot that was written while records were applied.
        func restart() throws {
            let digest = self.fixture.store.digest()
            let shown = TrackFixture.triggers(of: self.fixture.store)
            let first = self.fixture.log.count
            var steps = 0
            let blocks = try SnapshotTests.blocks(of: self.fixture.store) {
                // Some snapshots see a record between any two items, and some see few.
                if self.random.chance(60), steps < 30 {
                    steps += 1
                    try self.step()
                }
            }
            let loaded = try SnapshotTests.load(blocks)
            loaded.triggers.limits = self.limits
            #expect(loaded.digest() == digest)
            #expect(TrackFixture.triggers(of: loaded) == shown)
            for entry in self.fixture.log[first...] {
                let result = try TrackFixture.apply(
                    entry.record, to: loaded, firstLSN: entry.firstLSN,
                    receivedAt: entry.receivedAt)
                #expect(result == entry.result)
            }
            #expect(loaded.digest() == self.fixture.store.digest())
            #expect(loaded.slab.bytesInUse > 0)
            let next = TrackFixture(store: loaded)
            (next.lsn, next.now, next.log) = (
                self.fixture.lsn, self.fixture.now, self.fixture.log
            )
            self.fixture = next
        }
    }

    @Test(arguments: 0 ..< 30)
    func everyFiringIsWhatTheModelSays(seed: Int) throws {
        let world = World(seed: seed)
        for step in 0 ..< 250 {
            try world.step()
            world.check(step)
            if step % 80 == 79 {
                try world.restart()
                world.check(step)
            }
        }
        // The whole log gives the same state in a store that never stopped.
        let again = Store(genesis: world.fixture.store.genesis)
        again.triggers.limits = world.limits
        for entry in world.fixture.log {
            _ = try TrackFixture.apply(
                entry.record, to: again, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
        }
        #expect(again.digest() == world.fixture.store.digest())
        #expect(again.triggers.owners.count == world.fixture.store.triggers.owners.count)
    }
}
