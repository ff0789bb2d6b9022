import Bytes
import Testing

@testable import Profiles

/// The suppressed addresses as a part of its own.
@Suite struct SuppressionStoreTests {
    /// Addresses of different shards for different numbers below 64.
    private func address(_ number: UInt64) -> AddressHash {
        AddressHash(low: number, high: number << 58)
    }

    private func withStore(_ body: (SuppressionStore, SnapshotSource) throws -> Void) rethrows {
        try withSnapshotSource { source, _ in
            let store = SuppressionStore(snapshot: source.work)
            defer { store.destroy() }
            try body(store, source)
        }
    }

    @Test func reasonsAreReplacedAndAnEmptySetRemovesTheAddress() {
        self.withStore { store, _ in
            #expect(store.reasons(self.address(1)).isEmpty && store.count == 0)
            store.set(self.address(1), SuppressionReasons(rawValue: 3)) {}
            store.set(self.address(1), SuppressionReasons(rawValue: 2)) {}
            #expect(store.reasons(self.address(1)).rawValue == 2 && store.count == 1)
            store.set(self.address(1), SuppressionReasons()) {}
            #expect(store.reasons(self.address(1)).isEmpty && store.count == 0)
        }
    }

    @Test func changeIsPublishedOnceAlsoWhereNothingChanges() {
        self.withStore { store, _ in
            var published = 0
            store.set(self.address(1), SuppressionReasons()) { published += 1 }
            store.set(self.address(1), SuppressionReasons(rawValue: 1)) { published += 1 }
            #expect(published == 2)
        }
    }

    @Test func snapshotShowsTheAddressesOfItsBeginning() throws {
        try self.withStore { store, source in
            for number in 0 ..< 64 as Range<UInt64> {
                store.set(self.address(number), SuppressionReasons(rawValue: 1)) {}
            }
            beginSnapshot(source)
            // Two shards come in their turn; of the changes below, one is in a written shard.
            #expect(store.writeNext() > 0 && store.writeNext() > 0)
            for number in [0, 40, 41] as [UInt64] {
                store.willChange(self.address(number))
                store.set(self.address(number), SuppressionReasons()) {}
            }
            while store.writeNext() > 0 {}
            let items = snapshotItems(of: source)
            #expect(items.count == 64 && items.allSatisfy { $0.kind == .suppressions })
            try self.withStore { loaded, _ in
                for item in items {
                    let count = item.body.withUnsafeBytes { loaded.load($0) }
                    #expect(count == 1)
                }
                #expect(loaded.count == 64 && store.count == 61)
            }
        }
    }

    @Test func itemWithARepeatedOrAnIncompleteAddressIsMalformed() {
        self.withStore { store, source in
            store.set(self.address(5), SuppressionReasons(rawValue: 1)) {}
            beginSnapshot(source)
            while store.writeNext() > 0 {}
            let body = snapshotItems(of: source).first { !$0.body.isEmpty }?.body ?? []
            self.withStore { loaded, _ in
                #expect((body + body).withUnsafeBytes { loaded.load($0) } == nil)
            }
            self.withStore { loaded, _ in
                #expect(body.dropLast().withUnsafeBytes { loaded.load($0) } == nil)
            }
        }
    }
}
