import Bytes
import Testing

@testable import Profiles

/// A snapshot shows the lsn at which it began, whatever is applied while it is written.
@Suite struct SnapshotTests {
    /// Everything of a store as blocks, with `between` called after each piece.
    static func blocks(
        of store: Store, pieceBytes: Int = 1, isBegun: Bool = false, between: () throws -> Void = {}
    ) rethrows -> [[UInt8]] {
        if !isBegun { store.beginSnapshot() }
        var blocks: [[UInt8]] = []
        while true {
            store.advanceSnapshot(bytes: pieceBytes)
            while let block = store.takeSnapshotBlock() { blocks.append(Array(block.bytes)) }
            guard !store.isSnapshotComplete else { break }
            try between()
        }
        store.endSnapshot()
        return blocks
    }

    static func load(_ blocks: [[UInt8]]) throws -> Store {
        let loader = StoreLoader(bytes: blocks.reduce(0) { $0 + $1.count })
        for block in blocks {
            var buffer = ByteBuffer(capacity: block.count)
            block.withUnsafeBytes { buffer.append($0) }
            try loader.load(buffer.bytes)
        }
        return try loader.finish()
    }

    /// Limits so small that events, responses and merges are dropped all the time.
    static var limits: StoreLimits {
        var limits = BatchTests.limits
        limits.requestIDsPerProject = 20
        limits.eventRetentionSeconds = 3_600
        limits.blocksPerProject = 4
        limits.blockSeconds = 300
        return limits
    }

    /// One record of a random kind.
    static func step(_ fixture: TrackFixture, _ generator: inout MixedGenerator) throws {
        fixture.now += Int64(generator.random.below(20_000_000))
        switch generator.random.below(13) {
        case 0:
            try fixture.apply(
                generator.batch(fixture.now, fails: generator.random.chance(30)).record)
        case 1: try fixture.tick(after: 0)
        case 2 ..< 6: try fixture.apply(generator.identify(fixture.now).record)
        case 6:
            let states: [SubscriptionState] = [.subscribed, .unsubscribed, .unset]
            _ = try fixture.consent(
                [(.email, "t\(generator.random.below(3))", states[generator.random.below(3)])],
                by: .user)
        case 7:
            // Now and then events come past their retention, and the sweep runs.
            if generator.random.chance(20) { fixture.now += 3_600 * TrackFixture.second }
            try fixture.tick(after: 0)
        case 8:
            let address = AddressHash(low: 1, high: UInt64(generator.random.below(40)) << 57)
            let kind: RecordKind =
                generator.random.chance(70) ? .addSuppression : .removeSuppression
            try fixture.apply(Self.suppression(kind, address))
        case 9:
            let isDevice = generator.random.chance(50)
            let name = (isDevice ? "d" : "p") + "\(generator.random.below(5))"
            if generator.random.chance(30) {
                try fixture.erase(isDevice ? .installationID : .customID, Array(name.utf8))
            }
        default:
            let request = generator.random.chance(50) ? "r\(generator.random.below(60))" : ""
            try fixture.apply(generator.track(fixture.now).with { $0.requestID = request }.record)
        }
    }

    /// A million merges can be open: an erasure may not have the log thread write them all at once.
    @Test(arguments: [(0, 0), (0, 7), (0, 19), (7, 7), (8, 7), (8, 18), (19, 19), (20, 3)])
    func erasureInTheListOfMergesWritesItsOwnOnly(written: Int, erased: Int) throws {
        let fixture = TrackFixture()
        for number in 0 ..< 20 {
            try fixture.apply(IdentifySpec(person: "p\(number)").record)
            try fixture.track(.installation("d\(number)"))
            try fixture.apply(IdentifySpec(device: "d\(number)", person: "p\(number)").record)
        }
        let store = fixture.store
        let digest = store.digest()
        store.beginSnapshot()
        while store.snapshot.work.pointee.merges.left > UInt64(20 - written) {
            store.advanceSnapshot(bytes: 1)
        }
        try fixture.erase("p\(erased)")
        // One that comes later is not of the snapshot.
        try fixture.track(.installation("late"))
        try fixture.apply(IdentifySpec(device: "late", person: "p15").record)
        try fixture.erase("p15")
        let owed = [erased, 15].filter { $0 >= written }.count
        #expect(store.snapshot.work.pointee.merges.left == UInt64(20 - written - owed))
        #expect(try Self.load(Self.blocks(of: store, isBegun: true)).digest() == digest)
    }

    /// Memory is taken for what is announced before it has come.
    @Test func moreProfilesThanHaveSpaceInTheBytesAreRejected() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 40 { try fixture.track(.installation("d\(number)")) }
        let blocks = try Self.blocks(of: fixture.store)
        func load(bytes: Int) throws -> Store {
            let loader = StoreLoader(bytes: bytes)
            try blocks.forEach { try $0.withUnsafeBytes { try loader.load($0) } }
            return try loader.finish()
        }
        let least = 40 * SnapshotFormat.itemHeaderBytes
        #expect(try load(bytes: least).digest() == fixture.store.digest())
        #expect(throws: SnapshotError.malformed(item: SnapshotItem.state.rawValue)) {
            try load(bytes: least - 1)
        }
    }

    private static func suppression(_ kind: RecordKind, _ address: AddressHash) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        SuppressionCommand(
            project: ProjectID(rawValue: 1), reason: .manual, address: address, requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func loadedStateIsThatOfTheBeginningWhileWritesGoOn(seed: UInt64) throws {
        let live = TrackFixture(limits: Self.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 600 { try Self.step(live, &generator) }
        let digest = live.store.digest()
        let lsn = live.store.appliedLSN
        live.store.beginSnapshot()
        // Some changes come before the first piece, the others between pieces.
        for _ in 0 ..< generator.random.below(40) { try Self.step(live, &generator) }
        let blocks = try Self.blocks(of: live.store, isBegun: true) {
            for _ in 0 ..< generator.random.below(3) { try Self.step(live, &generator) }
        }
        let loaded = try Self.load(blocks)
        #expect(loaded.digest() == digest)
        #expect(loaded.appliedLSN == lsn)

        // What came after gives the same results, and in the end the same state.
        let replayed = TrackFixture(store: loaded)
        for entry in live.log where entry.firstLSN > lsn {
            let result = try TrackFixture.apply(
                entry.record, to: replayed.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(loaded.digest() == live.store.digest())
    }

    @Test func L18_requestIDsSurviveInASnapshot() throws {
        let live = TrackFixture()
        let first = try live.track(TrackSpec().with { $0.requestID = "once" })
        let loaded = TrackFixture(store: try Self.load(Self.blocks(of: live.store)))
        loaded.now = live.now
        let again = try loaded.track(TrackSpec().with { $0.requestID = "once" })
        #expect(again.isReplayed)
        #expect(again.lsn == first.lsn)
    }

    @Test func emptyStoreIsASnapshotToo() throws {
        let store = Store(genesis: TrackFixture.genesis())
        #expect(try Self.load(Self.blocks(of: store)).digest() == store.digest())
    }

    @Test func snapshotTakesTheMemoryOfWhatIsWaitingOnly() throws {
        let live = TrackFixture()
        for number in 0 ..< 2_000 { try live.track(TrackSpec("p\(number)")) }
        let before = live.store.memory
        live.store.beginSnapshot()
        for number in 0 ..< 2_000 { try live.track(TrackSpec("p\(number)")) }
        // All that was changed was copied into blocks; the store itself grew by the new events
        // alone.
        #expect(live.store.memory.profileHeaderBytes == before.profileHeaderBytes)
        while live.store.takeSnapshotBlock() != nil {}
        #expect(live.store.snapshotBytesWaiting == 0)
        live.store.endSnapshot()
        #expect(!live.store.isSnapshotting)
    }

    @Test func aBlockThatIsMissingCutOrRepeatedIsRejected() throws {
        let live = TrackFixture(limits: Self.limits)
        var generator = MixedGenerator(random: SeededRandom(state: 99))
        for _ in 0 ..< 200 { try Self.step(live, &generator) }
        let block = try #require(Self.blocks(of: live.store).first)
        for length in stride(from: 0, to: block.count, by: 7) {
            #expect(throws: SnapshotError.self) { try Self.load([Array(block.prefix(length))]) }
        }
        #expect(throws: SnapshotError.self) { try Self.load([block, block]) }
        #expect(throws: SnapshotError.self) { try Self.load([]) }
    }

    /// One event can be as large as a message, 4 MiB, and a profile keeps a thousand.
    @Test func eventsOfOneProfileSpanItemsAndBlocks() throws {
        let live = TrackFixture()
        for number in 0 ..< 9 {
            try live.track(
                TrackSpec(
                    "ann",
                    [EventSpec(id: "\(number)", label: String(repeating: "x", count: 700_000))]),
                after: 1)
        }
        try live.track(TrackSpec("bob"), after: 1)
        let digest = live.store.digest()
        let blocks = try Self.blocks(of: live.store) { try live.track(TrackSpec("ann"), after: 1) }
        #expect(blocks.count > 3)
        #expect(blocks.allSatisfy { $0.count < 3 * SnapshotFormat.blockBytes })
        #expect(try Self.load(blocks).digest() == digest)
        // An item of events that is missing, or comes twice, is seen.
        for index in 1 ..< blocks.count - 1 {
            #expect(throws: SnapshotError.self) {
                try Self.load(Array(blocks[..<index] + blocks[(index + 1)...]))
            }
            #expect(throws: SnapshotError.self) {
                try Self.load(Array(blocks[...index] + blocks[index...]))
            }
        }
    }
}
