import Bytes
import GRPCTransport
import IOSimulation
import Messages
import Profiles
import Storage
import Testing

@testable import ProfileService

/// A change record of the tests, written by hand from docs/formats/feed.md, "Change records".
struct ChangeSpec {
    var kind: ChangeKind
    var lsn: UInt64
    var profile: ProfileID
    var other: ProfileID?
    var customID = ""
    var installation: String?
    var project: UInt32 = 1
    /// Profiles that were merged into an erased one.
    var mergedBefore: [ProfileID] = []
    /// Whom each of them was merged into itself; `nil`: a record of before, which does not say it.
    var survivors: [ProfileID]?
    /// Profiles that merges had led through to the other one.
    var between: [ProfileID] = []
    var receivedAt: Int64 = 1_700_000_000_000_000

    var bytes: [UInt8] {
        var buffer = ByteBuffer()
        buffer.append(UInt32(0))
        buffer.append(self.kind.rawValue)
        buffer.append(UInt8((self.other == nil ? 0 : 2) | (self.survivors == nil ? 0 : 4)))
        buffer.append(UInt16(self.customID.utf8.count))
        buffer.append(self.project)
        buffer.append(UInt8(0))
        buffer.append(UInt8(0))
        buffer.append(UInt16(0))
        buffer.append(self.lsn)
        buffer.append(self.receivedAt)
        Self.append(self.profile, to: &buffer)
        buffer.append(self.lsn)
        if let other { Self.append(other, to: &buffer) }
        Self.append(self.customID, to: &buffer)
        if let installation {
            buffer.appendVarint(UInt64(installation.utf8.count))
            Self.append(installation, to: &buffer)
        } else if self.kind == .created {
            buffer.appendVarint(0)
        }
        for (index, id) in self.mergedBefore.enumerated() {
            Self.append(id, to: &buffer)
            if let survivors { Self.append(survivors[index], to: &buffer) }
        }
        for id in self.between { Self.append(id, to: &buffer) }
        buffer.patch(UInt32(buffer.count), at: 0)
        return Array(buffer.bytes)
    }

    private static func append(_ text: String, to buffer: inout ByteBuffer) {
        Array(text.utf8).withUnsafeBytes { buffer.append($0) }
    }

    private static func append(_ id: ProfileID, to buffer: inout ByteBuffer) {
        buffer.append(id.high.bigEndian)
        buffer.append(id.low.bigEndian)
    }

    func withView<Result>(_ body: (ChangeView) throws -> Result) throws -> Result {
        try self.bytes.withUnsafeBytes { try body(try #require(ChangeView($0))) }
    }
}

/// A feed that takes records of the tests, and followers of it without a loop or a thread.
final class WatchWorld {
    let store = Store(
        genesis: Genesis(
            directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
            secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
    let clock = SimulatedClock()
    let feed: Feed
    let coordinator: WatchCoordinator
    let mailbox = CompletionMailbox {}
    let parker = SimulatedParker()
    let encoder = MessageEncoder()
    private var numbers: UInt32 = 0

    init(_ limits: WatchLimits = WatchLimits()) {
        var options = FeedOptions()
        options.blockBytes = 4_096
        self.feed = Feed(
            FeedFiles(SimulatedDisk(), in: "d"), options: options, logWaker: SimulatedParker(),
            waker: SimulatedParker())
        self.coordinator = WatchCoordinator(
            limits: limits, startLSN: 0, mailboxes: [self.mailbox], waker: self.parker)
    }

    static func customID(_ text: String) -> OwnedIdentifier { Self.identifier(.customID, text) }

    static func identifier(_ kind: IdentifierKind, _ text: String) -> OwnedIdentifier {
        Array(text.utf8).withUnsafeBytes { OwnedIdentifier(IdentifierView(kind: kind, bytes: $0)) }
    }

    /// Appends one frame.
    func append(_ specs: [ChangeSpec]) {
        let changesIdentities = specs.contains { $0.kind.changesIdentities }
        specs.flatMap(\.bytes).withUnsafeBytes {
            self.feed.append(
                firstLSN: self.feed.headLSN + 1, lastLSN: specs.map(\.lsn).max() ?? 0,
                flags: changesIdentities ? .identity : [],
                clock: self.clock.wallMicroseconds(), records: $0)
        }
    }

    /// Has the state go through an lsn: ticks, of which there is no change.
    func advance(through lsn: UInt64) throws {
        var record = ByteBuffer()
        var results = ByteBuffer()
        endRecord(at: beginRecord(.tick, in: &record), operations: 1, in: &record)
        while self.store.appliedLSN < lsn {
            try self.store.apply(
                try #require(RecordView(record.bytes)), firstLSN: self.store.appliedLSN + 1,
                receivedAt: self.clock.wallMicroseconds(), results: &results)
        }
    }

    func watcher(
        from lsn: UInt64 = 0, following identifiers: [OwnedIdentifier] = []
    ) -> Watcher {
        var filter = ChangeFilter()
        filter.identifiers = identifiers
        self.numbers += 1
        return Watcher(
            token: ServiceFixture.token(Int(self.numbers)), peer: PeerAddress("127.0.0.1:1"),
            project: ProjectID(rawValue: 1), fromLSN: lsn, filter: filter)
    }

    func follower(_ watcher: Watcher, from lsn: UInt64) -> WatchFollower {
        WatchFollower(
            watcher, from: lsn, self.coordinator, store: self.store, feed: self.feed,
            encoder: self.encoder)
    }

    /// The messages of all batches that wait, as a loop would take them: the lsn of each.
    static func take(_ watcher: Watcher) -> [UInt64] {
        var lsns: [UInt64] = []
        while case .batch(let batch) = watcher.take(giving: nil) {
            while !batch.isEmpty {
                var reader = ByteReader(batch.peek().bytes)
                // Field 1, a varint; of an lsn of 0 nothing is written.
                lsns.append(
                    reader.remaining > 0 && reader.read(UInt8.self) == 8
                        ? reader.readVarint() : 0)
                batch.advance()
            }
        }
        return lsns
    }
}
