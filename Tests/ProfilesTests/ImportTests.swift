import Bytes
import Testing

@testable import Profiles

/// Chunks of imports: their parts, what is remembered of them, and what they may do.
@Suite struct ImportTests {
    /// What a reader sees of the people of a chunk, without what depends on the number of calls.
    private static func people(_ fixture: TrackFixture) -> [[String]] {
        (0 ..< 5).map { number in
            guard let profile = fixture.read("p\(number)") else { return [] }
            return profile.counters.map { "\($0.name) \($0.count)" }
        }
    }

    @Test func partsAddUpToTheirChunk() throws {
        let fixture = TrackFixture()
        var spec = ImportSpec.events(3)
        spec.items += [
            .track(TrackSpec("p0", [EventSpec(id: "ec1-0")])), .invalid,
            .identify(IdentifySpec(person: "p0")),
            .track(TrackSpec("nobody").with { $0.flags = .mustExist }),
        ]
        let responses = try spec.ranges.map { try fixture.importPart(spec, $0) }
        #expect(responses.dropLast().allSatisfy { $0.counts.isEmpty && !$0.isReplayed })
        #expect(responses.map(\.body.done) == [2, 4, 6, 7])
        let last = try #require(responses.last)
        #expect(last.counts == [3, 2, 2])
        #expect(last.lsn == fixture.lsn)
        let rejections = try #require(last.body.counts?.rejections)
        #expect(rejections.map(\.index) == [4, 6])
        #expect(rejections.map(\.kind) == [nil, .track])
        #expect(rejections.map(\.rejection) == [.invalidFields, .profileNotFound])
        let items = responses.map { [$0.body.stored, $0.body.duplicate, $0.body.stale] }
        #expect(items == [[2, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    }

    /// Every prefix of a chunk, and a restart behind it by the log or by a snapshot.
    @Test(arguments: 0 ... 4, [false, true])
    func chunkThatIsCutGoesOnBehindItsLastPart(parts: Int, bySnapshot: Bool) throws {
        let spec = ImportSpec.events(8)
        let whole = TrackFixture()
        try whole.importChunk(spec)
        let cut = TrackFixture()
        try cut.importChunk(spec, parts: 0 ..< parts)
        let store =
            bySnapshot
            ? try SnapshotTests.load(SnapshotTests.blocks(of: cut.store)) : try cut.replayed().store
        #expect(store.digest() == cut.store.digest())
        let again = TrackFixture(store: store)
        again.now = cut.now + 1_000
        let responses = try spec.ranges.map { try again.importPart(spec, $0) }
        #expect(responses.map(\.isReplayed) == (0 ..< 4).map { $0 < parts })
        #expect(responses.last?.counts == [8, 0, 0])
        #expect(Self.people(again) == Self.people(whole))
        #expect(responses.map(\.body.skipped) == (0 ..< 4).map { $0 < parts ? 2 : 0 })
    }

    /// A release with other bounds cuts the same chunk at other places.
    @Test func operationsOfAPartThatAreDoneArePassedOver() throws {
        let fixture = TrackFixture()
        let spec = ImportSpec.events(8)
        try fixture.importChunk(spec, parts: 0 ..< 1)
        let response = try fixture.importPart(spec, 0 ..< 5)
        #expect(response.body.skipped == 2 && response.body.stored == 3 && !response.isReplayed)
        #expect(try fixture.importPart(spec, 4 ..< 8).counts == [8, 0, 0])
    }

    @Test func completeChunkHasItsFirstCountsAgain() throws {
        let fixture = TrackFixture()
        var spec = ImportSpec.events(5)
        spec.items.append(.invalid)
        let first = try #require(try fixture.importChunk(spec))
        fixture.now += 3_600 * TrackFixture.second
        let again = try fixture.importPart(spec, spec.ranges[0])
        #expect(again.isReplayed && again.lsn == first.lsn)
        #expect(again.body.counts == first.body.counts && again.counts == [5, 0, 1])
        #expect(again.body.stored == 0 && again.body.done == 6)
    }

    @Test func chunkWithOtherContentIsRejected() throws {
        let fixture = TrackFixture()
        try fixture.importChunk(ImportSpec.events(4))
        var other = ImportSpec.events(4)
        other.items[3] = .invalid
        let before = Self.people(fixture)
        #expect(try fixture.importPart(other, 0 ..< 2).rejection == .requestIDReused)
        #expect(Self.people(fixture) == before)
        other.chunkID = "c2"
        #expect(try fixture.importPart(other, 0 ..< 2).rejection == .none)
    }

    @Test func contentIsEqualWhateverTheTimesOfSending() {
        let store = TrackFixture().store
        func content(_ sentAt: Int64?) -> Fingerprint {
            ImportSpec(
                items: [.track(TrackSpec("a").with { $0.sentAt = sentAt }), .invalid]
            ).content(of: store)
        }
        #expect(content(nil) == content(5) && content(5) == content(6))
        #expect(content(5) != ImportSpec(items: [.track(TrackSpec("b"))]).content(of: store))
    }

    @Test func partBehindAGapIsRejected() throws {
        let fixture = TrackFixture()
        let spec = ImportSpec.events(8)
        #expect(try fixture.importPart(spec, 2 ..< 4).rejection == .limitExceeded)
        try fixture.importPart(spec, 0 ..< 2)
        #expect(try fixture.importPart(spec, 4 ..< 6).rejection == .limitExceeded)
        #expect(try fixture.importPart(spec, 2 ..< 4).body.done == 4)
    }

    @Test func chunkIsForgottenWithTheRequestIDs() throws {
        let fixture = TrackFixture()
        let spec = ImportSpec(items: [.identify(IdentifySpec(person: "ann"))])
        #expect(try fixture.importChunk(spec)?.counts == [1, 0, 0])
        fixture.now += Int64(fixture.store.limits.requestIDSeconds) * 1_000_000 + 1
        #expect(try fixture.importPart(spec, 0 ..< 1).isReplayed == false)
    }

    @Test func emptyChunkIsRemembered() throws {
        let fixture = TrackFixture()
        let spec = ImportSpec()
        #expect(try fixture.importPart(spec, 0 ..< 0).counts == [0, 0, 0])
        #expect(try fixture.importPart(spec, 0 ..< 0).isReplayed)
    }

    @Test func rejectionsAreListedUpToTheirLimit() throws {
        let fixture = TrackFixture()
        let items = (0 ..< 1_500).map { _ in ImportItem.invalid }
        let spec = ImportSpec(items: items, itemsPerPart: 700)
        let counts = try #require(try fixture.importChunk(spec)?.body.counts)
        #expect(counts.rejected == 1_500 && counts.found == 1_500)
        #expect(counts.rejections.map(\.index) == Array(0 ..< 1_000))
    }

    @Test func partlyStoredTrackIsAppliedAndNamed() throws {
        let fixture = TrackFixture()
        let old = fixture.now - Int64(fixture.store.project.retentionSeconds + 9) * 1_000_000
        let events = [EventSpec(id: "a"), EventSpec(id: "b", occurredAt: old)]
        let partial = TrackSpec("ann", events).with { $0.flags = .allowPartial }
        let spec = ImportSpec(
            items: [.track(partial), .track(TrackSpec("ann", events))], itemsPerPart: 2)
        let counts = try #require(try fixture.importChunk(spec)?.body.counts)
        #expect([counts.applied, counts.unchanged, counts.rejected] == [1, 0, 1])
        #expect(counts.rejections.map(\.index) == [0, 1])
        #expect(counts.rejections.allSatisfy { $0.rejection == .timeWindow && $0.isLate })
        #expect(counts.rejections.allSatisfy { $0.item == 1 })
    }

    // MARK: Validation

    @Test func validationChangesAndRemembersNothing() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("p0", [EventSpec(id: "ec1-0")]))
        let plain = TrackFixture()
        try plain.track(TrackSpec("p0", [EventSpec(id: "ec1-0")]))
        var spec = ImportSpec.events(6, itemsPerPart: 6)
        // Later operations see earlier ones.
        spec.items.append(.track(TrackSpec("p1").with { $0.flags = .mustExist }))
        spec.itemsPerPart = spec.items.count
        spec.isValidation = true
        fixture.now += 1
        let validated = try fixture.importPart(spec, 0 ..< 7)
        #expect(validated.counts == [6, 1, 0] && !validated.isReplayed)
        plain.now = fixture.now
        let nobody = TrackSpec("nobody", (0 ..< 7).map { _ in EventSpec() })
        try plain.apply(nobody.with { $0.flags = .mustExist }.record)
        #expect(fixture.store.digest() == plain.store.digest())
        spec.isValidation = false
        #expect(try fixture.importPart(spec, 0 ..< 7).counts == [6, 1, 0])
    }

    // MARK: What an import may do

    @Test func importIsHistorical() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        let seen = try #require(Self.lastSeen("ann", fixture))
        let late = fixture.now - 30 * 86_400 * TrackFixture.second
        fixture.now += TrackFixture.second
        let spec = ImportSpec(
            items: [
                .track(TrackSpec("ann", [EventSpec(occurredAt: late)])),
                .identify(IdentifySpec(person: "ann", patch: [("a", .set, 1, [])])),
                .consent(ImportedConsent()),
            ], itemsPerPart: 3)
        #expect(try fixture.importChunk(spec)?.counts == [3, 0, 0])
        #expect(Self.lastSeen("ann", fixture) == seen)
    }

    private static func lastSeen(_ customID: String, _ fixture: TrackFixture) -> Int64? {
        var buffer = ByteBuffer()
        return withBytes(customID) { id in
            _ = fixture.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .customID, bytes: id), now: fixture.now,
                into: &buffer)
            return ProfileImage(buffer.bytes)?.lastSeenAt
        }
    }

    @Test func importNeverUndoesAnOptOut() throws {
        for source in [ConsentSource.user, .preferenceCenter, .support, .imported] {
            let fixture = TrackFixture()
            _ = try fixture.consent([(.email, "", .unsubscribed)], by: .api)
            fixture.now += 1
            let spec = ImportSpec(
                items: [
                    .consent(ImportedConsent(source: source, reference: "r")),
                    .consent(ImportedConsent(state: .unset, source: source)),
                ], itemsPerPart: 2)
            let counts = try #require(try fixture.importChunk(spec)?.body.counts)
            #expect(counts.rejected == 2)
            #expect(counts.rejections.map(\.rejection) == [.userUnsubscribed, .userUnsubscribed])
        }
    }

    @Test func importedOptInHasTheSourceOfAnImportAndAnOptOutItsOwn() throws {
        let fixture = TrackFixture()
        let optIn = ImportSpec(items: [.consent(ImportedConsent(source: .user))])
        #expect(try fixture.importChunk(optIn)?.counts == [1, 0, 0])
        #expect(fixture.subscriptions("ann").first?.source == .imported)
        fixture.now += 1
        let optOut = ImportSpec(
            chunkID: "c2",
            items: [.consent(ImportedConsent(state: .unsubscribed, source: .oneClick))])
        #expect(try fixture.importChunk(optOut)?.counts == [1, 0, 0])
        #expect(fixture.subscriptions("ann").first?.source == .oneClick)
    }

    @Test func importNeverMakesPending() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        let spec = ImportSpec(
            items: [
                .consent(ImportedConsent()),
                .consent(ImportedConsent(customID: "bob", reference: "form 7")),
            ], itemsPerPart: 2)
        let counts = try #require(try fixture.importChunk(spec)?.body.counts)
        #expect([counts.applied, counts.unchanged, counts.rejected] == [1, 0, 1])
        #expect(counts.rejections.first?.rejection == .invalidFields)
        #expect(counts.rejections.first?.kind == .updateSubscription)
        #expect(fixture.read("ann") == nil)
        #expect(fixture.subscriptions("bob").first?.state == .subscribed)
    }

    @Test func pendingNeedsTheReferenceAndStandsForItsOptOut() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user)
        fixture.now += 1
        func rejections(_ id: String, _ reference: String) throws -> [Rejection] {
            let spec = ImportSpec(
                chunkID: id, items: [.consent(ImportedConsent(reference: reference))])
            let counts = try #require(try fixture.importChunk(spec)?.body.counts)
            return counts.rejections.map(\.rejection)
        }
        #expect(try rejections("c1", "") == [.invalidFields])
        #expect(try rejections("c2", "form 7") == [])
        #expect(fixture.subscriptions("ann").first?.state == .subscribed)
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .user, after: 1)
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user, after: 1)
        #expect(fixture.subscriptions("ann").first?.state == .pending)
        fixture.now += 1
        #expect(try rejections("c3", "form 8") == [.userUnsubscribed])
    }

    @Test func erasureLeavesChunksKnown() throws {
        let fixture = TrackFixture()
        let spec = ImportSpec.events(6)
        try fixture.importChunk(spec, parts: 0 ..< 2)
        try fixture.erase("p0", after: 1)
        let last = try #require(try fixture.importChunk(spec))
        // The sixth operation names the one who was erased since.
        #expect(last.counts == [5, 0, 1])
        #expect(last.body.counts?.rejections.first?.rejection == .identifierErased)
        #expect(try fixture.importPart(spec, 0 ..< 2).isReplayed)
    }

    /// A store that remembers no request ids, where nothing but the operations can be left.
    @Test(arguments: [31, 32, 33, 34] as [UInt64])
    func importDoesWhatItsOperationsDoOneByOne(seed: UInt64) throws {
        var limits = BatchTests.limits
        limits.requestIDsPerProject = 0
        let imports = TrackFixture(limits: limits)
        let calls = TrackFixture(limits: limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for number in 0 ..< 300 {
            imports.now += Int64(generator.random.below(20_000_000))
            calls.now = imports.now
            var spec = ImportSpec(chunkID: "c\(number)")
            for _ in 0 ... generator.random.below(40) {
                spec.items.append(
                    generator.random.chance(50)
                        ? .track(generator.track(imports.now))
                        : .identify(generator.identify(imports.now)))
            }
            let response = try imports.importPart(spec, 0 ..< spec.items.count)
            #expect(response.counts.reduce(0, +) == spec.items.count)
            for item in spec.items { try calls.apply(item.record) }
            try #require(imports.store.digest() == calls.store.digest())
        }
    }

    @Test(arguments: [21, 22, 23, 24] as [UInt64])
    func replayDigestEqualsLiveDigest(seed: UInt64) throws {
        let live = TrackFixture(limits: BatchTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 400 {
            live.now += Int64(generator.random.below(20_000_000))
            try live.apply(generator.importPart(live.now, for: live.store))
        }
        let (store, isSame) = try live.replayed(limits: BatchTests.limits)
        #expect(isSame && store.digest() == live.store.digest())
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        #expect(loaded.digest() == live.store.digest())
    }
}

extension MixedGenerator {
    /// A part of one of few chunks, which comes again, has other content, or is a validation.
    mutating func importPart(_ now: Int64, for store: Store) -> [UInt8] {
        var spec = ImportSpec(chunkID: "c\(self.random.below(30))")
        spec.isValidation = self.random.chance(20)
        let isStable = self.random.chance(70)
        for number in 0 ..< 4 {
            if isStable {
                spec.items.append(.track(TrackSpec("p\(number)", [EventSpec(id: spec.chunkID)])))
            } else if self.random.chance(50) {
                spec.items.append(.track(self.track(now)))
            } else {
                spec.items.append(self.random.chance(10) ? .invalid : .identify(self.identify(now)))
            }
        }
        let first = isStable && self.random.chance(50) ? 2 : 0
        return spec.part(first ..< (self.random.chance(50) ? 4 : max(2, first)), for: store)
    }
}
