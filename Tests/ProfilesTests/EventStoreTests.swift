import Bytes
import Testing

@testable import Profiles

/// The retained events as a part of its own: lists by time, the table by id.
@Suite struct EventStoreTests {
    private let project = ProjectID(rawValue: 1)

    /// A store of one profile, whose list has capacity for a few events.
    private func withStore(
        mask: UInt64 = .max, capacity: UInt32 = 4,
        _ body: (EventStore, UnsafeMutablePointer<ProfileHeader>, ProfileRef) throws -> Void
    ) rethrows {
        let slab = Slab()
        let pool = ProfilePool()
        let locks = ShardLocks()
        let store = EventStore(
            slab: slab, hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: mask),
            ids: DerivedIDs(secret: SipHashKey(k0: 3, k1: 4)), pool: pool)
        defer {
            store.destroy()
            pool.destroy()
            locks.destroy()
            slab.destroy()
        }
        var header = ProfileHeader(
            id: ProfileID(high: 1, low: 1), project: self.project, lsn: 1, receivedAt: 1,
            identity: 0, identityBytes: 0)
        header.events = slab.allocate(Int(capacity) * MemoryLayout<Handle>.stride)
        header.eventCapacity = capacity
        header.counters = slab.allocate(4 * MemoryLayout<CounterEntry>.stride)
        header.counterCapacity = 4
        let profile = pool.add(header, shard: 0, locks: locks)
        try body(store, pool.header(profile), profile)
    }

    private func block(
        _ id: String?, at time: Int64, lsn: UInt64, of profile: ProfileRef, by name: String = "ann",
        in store: EventStore
    ) -> Handle {
        withBytes(name) { name in
            withBytes(id ?? "") { id in
                let header = TrackHeader(
                    project: self.project, flags: [], platform: 0, eventCount: 1,
                    identifier: IdentifierView(kind: .customID, bytes: name), requestID: .none,
                    sourceName: .none, sentAt: 0, expectedRevision: 0)
                let source = EventBlock.Source(
                    effectiveTime: time, lsn: lsn, receivedAt: 1_000, holder: profile,
                    header: header, eventID: id.count > 0 ? id : nil, content: name)
                let block = store.slab.allocate(source.totalBytes)
                EventBlock.write(source, to: store.slab.pointer(block))
                return block
            }
        }
    }

    private func lsns(_ store: EventStore, _ header: ProfileHeader) -> [UInt64] {
        (0 ..< Int(header.eventCount)).map {
            EventBlock(store.slab.pointer(store.list(header)[$0])).lsn
        }
    }

    @Test func eventsAreListedByTimeAndEqualOnesInTheOrderOfTheirArrival() {
        self.withStore { store, header, profile in
            for (lsn, time) in [(1, 50), (2, 10), (3, 50), (4, 10)] as [(UInt64, Int64)] {
                let block = self.block(nil, at: time, lsn: lsn, of: profile, in: store)
                store.insert(block, at: time, into: header)
            }
            #expect(self.lsns(store, header.pointee) == [2, 4, 1, 3])
            #expect(store.oldest(header.pointee) == 10)
        }
    }

    @Test func listUsesTheCapacityThatRemovalsLeaveAtItsStart() {
        self.withStore { store, header, profile in
            for lsn in 1 ... 20 as ClosedRange<UInt64> {
                let block = self.block(nil, at: Int64(lsn), lsn: lsn, of: profile, in: store)
                store.insert(block, at: Int64(lsn), into: header)
                if header.pointee.eventCount == 4 { _ = store.removeFirst(header) }
            }
            #expect(self.lsns(store, header.pointee) == [18, 19, 20])
            #expect(header.pointee.eventsTruncatedBefore == 18, "one past the newest removed")
            #expect(header.pointee.eventCapacity == 4)
        }
    }

    @Test func truncationCountsWhatIsPastTheRetentionButStillListed() {
        self.withStore { store, header, profile in
            #expect(store.truncatedBefore(header.pointee, since: 99) == 0)
            for time in [10, 20, 30] as [Int64] {
                let block = self.block(nil, at: time, lsn: UInt64(time), of: profile, in: store)
                store.insert(block, at: time, into: header)
            }
            #expect(store.truncatedBefore(header.pointee, since: 10) == 0)
            #expect(store.truncatedBefore(header.pointee, since: 11) == 11)
            #expect(store.truncatedBefore(header.pointee, since: 30) == 21)
            #expect(store.truncatedBefore(header.pointee, since: 99) == 31)
        }
    }

    @Test(arguments: [UInt64.max, 0])
    func eventIsFoundByItsIdUnderTheIdentifierAsSent(mask: UInt64) {
        self.withStore(mask: mask) { store, _, profile in
            let entries = [("x", "ann", 10), ("x", "bob", 20), ("y", "ann", 30)]
            for (id, name, time) in entries {
                let handle = self.block(
                    id, at: Int64(time), lsn: UInt64(time), of: profile, by: name, in: store)
                let block = EventBlock(store.slab.pointer(handle))
                store.table.insert(store.hash(of: block, self.project), handle)
            }
            func find(_ id: String, _ name: String, since: Int64 = 0) -> UInt64? {
                withBytes(id) { id in
                    withBytes(name) { name in
                        let identifier = IdentifierView(kind: .customID, bytes: name)
                        let hash = store.hash.event(
                            identifierHash: store.hash.identifier(self.project, identifier), id: id)
                        return store.find(
                            self.project, identifier, id: id, hash: hash, since: since)?.lsn
                    }
                }
            }
            #expect(find("x", "ann") == 10 && find("x", "bob") == 20 && find("y", "ann") == 30)
            #expect(find("y", "bob") == nil && find("z", "ann") == nil)
            #expect(find("x", "ann", since: 11) == nil, "past the retention")
        }
    }

    @Test func countersHoldCountFirstAndLastOfEachName() {
        self.withStore { store, header, _ in
            for (name, time) in [(7, 50), (8, 1), (7, 20)] as [(UInt16, Int64)] {
                store.count(name, at: time, in: header)
            }
            #expect(header.pointee.counterCount == 2)
            let entries = store.slab.pointer(header.pointee.counters)
                .assumingMemoryBound(to: CounterEntry.self)
            let index = store.counterIndex(header.pointee, 7)
            #expect(index == 0 && entries[0].count == 2)
            #expect(entries[0].first == 20 && entries[0].last == 50)
            #expect(store.counterIndex(header.pointee, 9) == nil)
        }
    }
}
