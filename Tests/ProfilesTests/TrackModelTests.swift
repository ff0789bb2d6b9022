import Bytes
import Testing

@testable import Profiles

/// Random Tracks with small limits, against the model, and against a second store that replays
/// them.
@Suite struct TrackModelTests {
    /// Limits that a few hundred operations run into.
    static var smallLimits: StoreLimits {
        var limits = StoreLimits()
        limits.eventsPerProfile = 6
        limits.eventRetentionSeconds = 1_000
        limits.lateWindowSeconds = 100
        limits.aheadWindowSeconds = 10
        limits.countersPerProfile = 4
        limits.namesPerProject = 9
        limits.requestIDsPerProject = 6
        limits.requestIDBytesPerProject = 1_500
        limits.requestIDSeconds = 60
        return limits
    }

    struct Generator {
        var random: SeededRandom
        var limits: StoreLimits
        var customs = 6

        mutating func event(_ now: Int64) -> EventSpec {
            var event = EventSpec()
            event.name = "event_\(self.random.below(6))"
            if self.random.chance(70) { event.id = "e\(self.random.below(12))" }
            if self.random.chance(30) { event.label = "label\(self.random.below(2))" }
            if self.random.chance(20) { event.tags = ["x", "y\(self.random.below(2))"] }
            for attribute in 0 ..< self.random.below(3) {
                event.attributes.append(
                    (
                        "attribute_\(attribute + self.random.below(3) * 3)",
                        Int64(self.random.below(2))
                    ))
            }
            event.attributes.sort { $0.0 < $1.0 }
            if self.random.chance(50) { event.occurredAt = now + self.offset() }
            return event
        }

        /// Around every bound, on it, and one microsecond to both sides.
        mutating func offset() -> Int64 {
            let bounds = [
                0, -Int64(self.limits.lateWindowSeconds), Int64(self.limits.aheadWindowSeconds),
                -Int64(self.limits.eventRetentionSeconds), -50, -20, -90,
            ]
            return bounds[self.random.below(bounds.count)] * 1_000_000 + Int64(self.random.below(3))
                - 1
        }

        mutating func track(_ now: Int64, known: [ProfileID]) -> TrackSpec {
            var spec = TrackSpec("c\(self.random.below(self.customs))", [])
            if self.random.chance(35) { spec = .installation("i\(self.random.below(4))", []) }
            if self.random.chance(10) {
                let unknown = ProfileID(high: 1, low: 1)
                spec = .profile(known.isEmpty ? unknown : known[self.random.below(known.count)], [])
                if self.random.chance(10) { spec.identifier = unknown.binary }
            }
            for _ in 0 ... self.random.below(4) { spec.events.append(self.event(now)) }
            if self.random.chance(30) { spec.requestID = "r\(self.random.below(9))" }
            if self.random.chance(30) { spec.sentAt = now + self.offset() }
            if self.random.chance(40) { spec.flags.insert(.allowPartial) }
            if self.random.chance(20) { spec.flags.insert(.historical) }
            if self.random.chance(10) { spec.flags.insert(.mustExist) }
            if self.random.chance(10) { spec.expectedRevision = UInt64(self.random.below(4)) }
            spec.platform = Platform(rawValue: UInt8(self.random.below(6))) ?? .web
            if spec.flags.contains(.allowPartial), self.random.chance(30) {
                spec.events[self.random.below(spec.events.count)].violation = "is not a name"
            }
            return spec
        }
    }

    /// The second mask leaves three bits of hash: everything collides, and only comparing the
    /// things themselves helps.
    @Test(
        arguments: zip(
            [1, 2, 3, 4] as [UInt64], [.max, 0xC000_0000_0000_0001, .max, 0] as [UInt64]))
    func randomTracksResponseAsTheModelSays(seed: UInt64, hashMask: UInt64) throws {
        var limits = Self.smallLimits
        if seed == 3 { limits.namesPerProject = 100 }
        let fixture = TrackFixture(limits: limits, hashMask: hashMask)
        let model = TrackModel(limits: limits)
        var generator = Generator(random: SeededRandom(state: seed), limits: limits)
        var last: TrackSpec?
        for step in 0 ..< 5_000 {
            if generator.random.chance(60) {
                fixture.now += Int64(generator.random.below(20_000_000))
            }
            if fixture.store.tickDue(at: fixture.now) { try fixture.tick() }
            var spec = generator.track(fixture.now, known: model.profiles.map(\.response.id))
            if generator.random.chance(10), let again = last { spec = again }
            last = spec
            let firstLSN = fixture.lsn + 1
            let bytes = try fixture.apply(spec.record)
            let actual = try #require(TrackResponse(bytes))
            let expected = model.track(
                spec, firstLSN: firstLSN, now: fixture.now, actual: actual, bytes: bytes.count)
            try #require(actual == expected, "step \(step) of seed \(seed)")
            let image = fixture.read(spec.kind, spec.identifier)
            try #require(
                image == model.read(spec.kind, spec.identifier, now: fixture.now),
                "step \(step) of seed \(seed)")
        }
        for (key, _) in model.byKey {
            let kind = try #require(IdentifierKind(rawValue: key.kind))
            #expect(fixture.read(kind, key.bytes) == model.read(kind, key.bytes, now: fixture.now))
        }
        #expect(fixture.store.profileCount == model.profiles.count)
        #expect(Set(model.profiles.map(\.response.id)).count == model.profiles.count)
        #expect(fixture.store.project.names.count == model.names.count)
    }

    @Test func replayDigestEqualsLiveDigest() throws {
        var limits = Self.smallLimits
        limits.namesPerProject = 100
        let live = TrackFixture(limits: limits)
        var generator = Generator(random: SeededRandom(state: 99), limits: limits, customs: 2_000)
        var last: TrackSpec?
        for _ in 0 ..< 100_000 {
            live.now += Int64(generator.random.below(40_000))
            if live.store.tickDue(at: live.now) { try live.tick() }
            var spec = generator.track(live.now, known: [])
            if generator.random.chance(10), let again = last { spec = again }
            last = spec
            try live.apply(spec.record)
        }
        let replayed = Store(genesis: TrackFixture.genesis(limits))
        for (number, entry) in live.log.enumerated() {
            let result = try TrackFixture.apply(
                entry.record, to: replayed, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            try #require(result == entry.result, "record \(number)")
        }
        #expect(replayed.digest() == live.store.digest())
        #expect(replayed.appliedLSN == live.store.appliedLSN)
    }

    /// Frames of up to 100 records, most of them longer than one look. `shift`: the error of the
    /// frame's time that the prefetch gets.
    @Test(arguments: [0, 1] as [Int64], [.max, 0xC000_0000_0000_0001] as [UInt64])
    func prefetchChangesNothing(shift: Int64, hashMask: UInt64) throws {
        let limits = Self.smallLimits
        let plain = TrackFixture(limits: limits, hashMask: hashMask)
        let ahead = Store(genesis: TrackFixture.genesis(limits), hashMask: hashMask)
        var generator = Generator(random: SeededRandom(state: 7), limits: limits)
        for frame in 0 ..< 60 {
            plain.now += Int64(generator.random.below(20_000_000))
            var records = (0 ..< 1 + generator.random.below(100)).map { _ in
                generator.track(plain.now, known: []).record
            }
            records.insert(TrackFixture.tickRecord, at: generator.random.below(records.count))
            for (index, record) in records.enumerated() {
                let firstLSN = plain.lsn + 1
                if index.isMultiple(of: Store.prefetchMax) {
                    Array(records[index...].joined()).withUnsafeBytes {
                        ahead.prefetch(
                            $0, firstLSN: firstLSN,
                            times: FrameTimes(
                                receivedAt: plain.now + shift, clock: nil, rulesVersion: 1))
                    }
                }
                let result = try TrackFixture.apply(
                    record, to: ahead, firstLSN: firstLSN, receivedAt: plain.now)
                try #require(try plain.apply(record) == result, "record \(index) of frame \(frame)")
            }
            try #require(ahead.digest() == plain.store.digest())
        }
    }
}
