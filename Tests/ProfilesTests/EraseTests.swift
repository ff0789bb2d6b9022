import Bytes
import Testing

@testable import Profiles

/// What an erasure takes away, and what it leaves.
@Suite struct EraseTests {
    static let day: Int64 = 86_400 * TrackFixture.second

    @Test func erasedPersonIsFoundByNothing() throws {
        let fixture = TrackFixture()
        try fixture.setEmail("ann@example.org")
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        let id = try fixture.track(
            .installation("phone", [EventSpec(id: "one"), EventSpec(id: "two")])
        ).profileID
        let response = try fixture.erase("ann", after: 5)
        #expect(response.existed && response.logPurgeDue == fixture.now + Self.day)
        #expect(fixture.read("ann") == nil)
        #expect(fixture.read(.installationID, Array("phone".utf8)) == nil)
        #expect(fixture.read(.profileID, id.binary) == nil)
        #expect(fixture.store.profileCount == 0)
        #expect(fixture.store.memory.retainedEvents == 0)
        #expect(fixture.store.lastEraseLSN == fixture.lsn)
        var buffer = ByteBuffer()
        let images = withBytes("ann@example.org") {
            fixture.store.lookupProfiles(
                project: ProjectID(rawValue: 1), channel: .email, address: $0, now: fixture.now,
                into: &buffer)
        }
        #expect(images?.profiles.isEmpty == true)
    }

    @Test func mergedAwayIDLeadsToTheSurvivorWhoIsErasedWithAllThatWereMergedIntoIt() throws {
        let fixture = TrackFixture()
        let first = try fixture.track(.installation("tablet")).profileID
        try fixture.apply(IdentifySpec(person: "ann").record)
        try fixture.apply(IdentifySpec(device: "tablet", person: "ann").record)
        #expect(try fixture.erase(.profileID, first.binary).existed)
        #expect(fixture.read("ann") == nil && fixture.read(.profileID, first.binary) == nil)
        #expect(fixture.read(.installationID, Array("tablet".utf8)) == nil)
        #expect(fixture.store.project.merges.count == 0)
        #expect(try fixture.erase(.profileID, first.binary).existed == false)
    }

    @Test func unknownAndRepeatedErasuresHaveAnLSNOfTheirOwn() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        #expect(try fixture.erase("nobody").existed == false)
        #expect(fixture.store.lastEraseLSN == 0)
        #expect(try fixture.erase("ann").existed)
        let (erased, digest) = (fixture.store.lastEraseLSN, fixture.store.blockedIdentifierCount)
        #expect(try fixture.erase("ann").existed == false)
        #expect(
            fixture.lsn == 4 && fixture.store.lastEraseLSN == erased
                && fixture.store.blockedIdentifierCount == digest)
    }

    @Test func expectedRevisionIsThatOfTheSurvivorAndZeroOfNobody() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        try fixture.track(TrackSpec("ann"))
        let ann = Array("ann".utf8)
        let rejected = try fixture.erase(.customID, ann, expectedRevision: 1)
        #expect(rejected.rejection == .revisionMismatch && rejected.detail == 2)
        #expect(
            try fixture.erase(.customID, ann, expectedRevision: 0).rejection == .revisionMismatch)
        #expect(try fixture.erase(.customID, ann, expectedRevision: 2).existed)
        #expect(try fixture.erase(.customID, ann, expectedRevision: 0).rejection == .none)
    }

    @Test func recordHoldsNoByteOfWhatThePersonIsCalledBy() {
        let fixture = TrackFixture()
        let record = fixture.eraseRecord(
            .customID, Array("annabel-42".utf8), requestID: "erase-annabel-42", expectedRevision: 3)
        for piece in ["annabel", "erase-"] {
            let bytes = Array(piece.utf8)
            #expect(
                !(0 ... record.count - bytes.count).contains {
                    Array(record[$0 ..< $0 + bytes.count]) == bytes
                })
        }
    }

    @Test(arguments: ["", "r"])
    func recordThatIsNotWholeIsMalformedAndChangesNothing(requestID: String) throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        let record = fixture.eraseRecord(
            .customID, Array("ann".utf8), requestID: requestID, expectedRevision: 1)
        let payloadBytes = Int(record[0])
        for kept in 0 ..< payloadBytes {
            var buffer = ByteBuffer()
            let start = beginRecord(.erase, in: &buffer)
            record[8 ..< 8 + kept].withUnsafeBytes { buffer.append($0) }
            endRecord(at: start, operations: 1, in: &buffer)
            #expect(throws: ApplyError.malformed(lsn: 2)) { try fixture.apply(Array(buffer.bytes)) }
        }
        #expect(fixture.read("ann") != nil && fixture.lsn == 1)
        #expect(EraseResponse(try fixture.apply(record))?.existed == true)
    }

    /// All kept responses are of one person. Each of them costs as many probes as there are
    /// responses under its hash, so those of one person must be spread over the hashes.
    @Test func responsesOfOnePersonAreErasedInStepsThatGrowWithTheirNumber() throws {
        let fixture = TrackFixture()
        let count = 10_000
        for number in 0 ..< count {
            try fixture.track(TrackSpec("ann").with { $0.requestID = "r\(number)" })
        }
        try fixture.track(TrackSpec("bob").with { $0.requestID = "bob" })
        let requests = fixture.store.requests
        // 10,000 / 256 = 40 on the average.
        #expect(1 ... 100 ~= requests.largestProfileBucket)
        try fixture.erase("ann")
        #expect(requests.largestProfileBucket == 1, "that of the other person")
        var erased = 0
        requests.forEachEntry(of: fixture.store.project) {
            if $0.suffix(16).allSatisfy({ $0 == 0 }) { erased += 1 }
        }
        #expect(fixture.store.project.requests.count == count + 1 && erased == count)
    }

    @Test func tombstoneKeepsTheLedgersHeadAndNothingElse() throws {
        let fixture = TrackFixture()
        _ = try fixture.consent([(.email, "", .subscribed), (.sms, "", .unsubscribed)], by: .user)
        let profile = try #require(Self.only(fixture))
        let before = fixture.store.ledgerPart(fixture.store.pool.header(profile).pointee)
        let (head, id) = (before.head, fixture.store.pool.header(profile).pointee.id)
        try fixture.erase("ann")
        let stone = fixture.store.pool.header(profile).pointee
        #expect(
            stone.isErased && stone.id != id
                && stone.id == fixture.store.hash.tombstone(stone.project, id))
        #expect(
            stone.createdAt == 0 && stone.updatedAt == 0 && stone.lastSeenAt == 0
                && stone.revision == 0)
        let ledger = fixture.store.ledgerPart(stone)
        #expect(ledger.head == head && ledger.foldedCount == 2 && ledger.keptCount == 0)
        #expect(Int(stone.ledgerBytes) == LedgerPart.fixedBytes)
    }

    /// The one profile of a store.
    static func only(_ fixture: TrackFixture) -> ProfileRef? {
        let shards = (0 ..< Shards.count).filter { fixture.store.pool.count($0) == 1 }
        return shards.count == 1 ? ProfileRef(shard: shards[0], slot: 0) : nil
    }

    @Test func noBlockInUseOrFreeHoldsAByteOfThePerson() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("bystander"))
        let marks = [
            "Wq7annabel", "Wq7phone", "wq7event", "Wq7label", "Wq7@example.org", "Wq7request",
            "Wq7list",
        ]
        try fixture.track(.installation(marks[1], [EventSpec(id: marks[2], label: marks[3])]))
        try fixture.apply(
            IdentifySpec(person: marks[0], patch: [("l", .set, 0, [marks[6]])]).record)
        try fixture.apply(IdentifySpec(device: marks[1], person: marks[0]).record)
        try fixture.track(TrackSpec(marks[0]).with { $0.requestID = marks[5] })
        // Blocks that were replaced lie free, with what they held.
        for number in 0 ..< 20 {
            try fixture.apply(
                IdentifySpec(person: marks[0], patch: [("l", .add, 0, ["\(marks[6])\(number)"])])
                    .record)
        }
        try #require(marks.filter { $0 != marks[4] }.allSatisfy { fixture.slabContains($0) })
        try fixture.erase(marks[0])
        for mark in marks { #expect(!fixture.slabContains(mark), "\(mark) is still there") }
        #expect(fixture.slabContains("bystander"))
    }

    @Test func mergesOfOthersStayWhenThoseInTheMiddleGo() throws {
        let fixture = TrackFixture()
        for person in ["ann", "bob", "cid"] {
            for device in ["1", "2"] {
                try fixture.track(.installation(person + device))
                try fixture.apply(IdentifySpec(device: person + device, person: person).record)
            }
        }
        // The first device of each promotes it, unless the person is known: one merge each.
        func survivors() -> [UInt32] {
            var found: [UInt32] = []
            fixture.store.forEachMerge(of: fixture.store.project) {
                found.append($0.survivor.rawValue)
            }
            return found
        }
        let before = survivors()
        try #require(before.count == 3)
        try fixture.erase("bob")
        #expect(survivors() == [before[0], before[2]])
        try fixture.erase("cid")
        #expect(survivors() == [before[0]] && fixture.store.project.merges.count == 1)
        // The list goes on at its new end, and is forgotten from its head.
        try fixture.track(.installation("ann3"))
        try fixture.apply(IdentifySpec(device: "ann3", person: "ann").record)
        #expect(survivors() == [before[0], before[0]])
        try fixture.tick(after: 31 * Self.day)
        #expect(survivors().isEmpty)
    }

    @Test func personWithMoreAliasesThanAreListedGoesWithAllOfThem() throws {
        let fixture = TrackFixture()
        let merges = IdentityDraft.aliasesMax + 5
        var ids: [ProfileID] = []
        try fixture.apply(IdentifySpec(person: "ann").record)
        for number in 0 ..< merges {
            ids.append(try fixture.track(.installation("device-\(number)")).profileID)
            try fixture.apply(IdentifySpec(device: "device-\(number)", person: "ann").record)
        }
        #expect(try fixture.erase("ann").existed)
        for id in ids { #expect(fixture.read(.profileID, id.binary) == nil) }
        #expect(fixture.store.project.merges.count == 0)
        // Devices that were pushed out of the full profile are blocked too.
        #expect(fixture.store.blockedIdentifierCount == merges + 1)
    }

    @Test(arguments: [21, 22, 23, 24] as [UInt64])
    func replayDigestEqualsLiveDigest(seed: UInt64) throws {
        var limits = BatchTests.limits
        limits.blocksPerProject = 6
        limits.blockSeconds = 600
        let hashMask: UInt64 = seed % 2 == 0 ? .max : 0xC000_0000_0000_0001
        let live = TrackFixture(limits: limits, hashMask: hashMask)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 2_000 {
            live.now += Int64(generator.random.below(20_000_000))
            switch generator.random.below(12) {
            case 0:
                try live.apply(generator.batch(live.now, fails: generator.random.chance(30)).record)
            case 1: try live.tick()
            case 2:
                let name = "\(generator.random.below(5))"
                let isDevice = generator.random.chance(50)
                try live.erase(
                    isDevice ? .installationID : .customID,
                    Array(((isDevice ? "d" : "p") + name).utf8))
            case 3 ..< 8: try live.apply(generator.identify(live.now).record)
            default: try live.apply(generator.track(live.now).record)
            }
        }
        try #require(live.store.lastEraseLSN > 0)
        let replayed = try live.replayed(limits: limits, hashMask: hashMask)
        #expect(replayed.isSame)
        #expect(replayed.store.digest() == live.store.digest())
        #expect(replayed.store.lastEraseLSN == live.store.lastEraseLSN)
    }

    @Test func nothingIsLeftInMemoryOfPeopleWhoAreAllErased() throws {
        let fixture = TrackFixture(limits: BatchTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: 31))
        for _ in 0 ..< 500 {
            fixture.now += Int64(generator.random.below(20_000_000))
            let record =
                generator.random.chance(50)
                ? generator.identify(fixture.now).record : generator.track(fixture.now).record
            try fixture.apply(record)
        }
        var live: [ProfileID] = []
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< fixture.store.pool.count(shard) {
                let header = fixture.store.pool.header(ProfileRef(shard: shard, slot: slot)).pointee
                if header.isLive { live.append(header.id) }
            }
        }
        #expect(live.count == fixture.store.profileCount && live.count > 2)
        for id in live { #expect(try fixture.erase(.profileID, id.binary).existed) }
        #expect(fixture.store.profileCount == 0 && fixture.store.memory.retainedEvents == 0)
        #expect(fixture.store.project.merges.count == 0)
        var named = 0
        fixture.store.index.forEach { _, _, _ in named += 1 }
        #expect(named == 0, "nobody is left to be found")
        try fixture.tick(after: 31 * Self.day)
        #expect(fixture.store.blockedIdentifierCount == 0)
        #expect(fixture.store.memory.slabBytesInUse == 0, "these people had no ledgers")
    }
}
