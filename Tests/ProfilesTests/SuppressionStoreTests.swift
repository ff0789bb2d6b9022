import Bytes
import Testing

@testable import Profiles

/// The suppressed addresses as a part of its own.
@Suite struct SuppressionStoreTests {
    /// Addresses of different shards for different numbers below 64.
    private func address(_ number: UInt64) -> AddressHash {
        AddressHash(low: number, high: number << 58)
    }

    private let first = ProjectID(rawValue: 1)

    private func withStore(
        _ body: (SuppressionStore, Project, SnapshotSource) throws -> Void
    ) rethrows {
        try withSnapshotSource { source, _ in
            let store = SuppressionStore(snapshot: source.work)
            defer { store.destroy() }
            try withProject { try body(store, $0, source) }
        }
    }

    @Test func reasonsAreReplacedAndAnEmptySetRemovesTheAddress() {
        self.withStore { store, project, _ in
            #expect(store.reasons(self.first, self.address(1)).isEmpty && store.count == 0)
            store.set(project, self.address(1), SuppressionReasons(rawValue: 3)) {}
            store.set(project, self.address(1), SuppressionReasons(rawValue: 2)) {}
            #expect(store.reasons(self.first, self.address(1)).rawValue == 2 && store.count == 1)
            store.set(project, self.address(1), SuppressionReasons()) {}
            #expect(store.reasons(self.first, self.address(1)).isEmpty && store.count == 0)
        }
    }

    @Test func changeIsPublishedOnceAlsoWhereNothingChanges() {
        self.withStore { store, project, _ in
            var published = 0
            store.set(project, self.address(1), SuppressionReasons()) { published += 1 }
            store.set(project, self.address(1), SuppressionReasons(rawValue: 1)) { published += 1 }
            #expect(published == 2)
        }
    }

    @Test func snapshotShowsTheAddressesOfItsBeginning() throws {
        self.withStore { store, project, source in
            for number in 0 ..< 64 as Range<UInt64> {
                store.set(project, self.address(number), SuppressionReasons(rawValue: 1)) {}
            }
            beginSnapshot(source)
            // Two shards come in their turn; of the changes below, one is in a written shard.
            #expect(store.writeNext() > 0 && store.writeNext() > 0)
            for number in [0, 40, 41] as [UInt64] {
                store.willChange(self.address(number))
                store.set(project, self.address(number), SuppressionReasons()) {}
            }
            while store.writeNext() > 0 {}
            let items = snapshotItems(of: source)
            #expect(items.count == 64 && items.allSatisfy { $0.kind == .suppressions })
            self.withStore { loaded, project, _ in
                for item in items {
                    let count = item.body.withUnsafeBytes {
                        loaded.load($0, hasProjects: true) { $0 == project.id ? project : nil }
                    }
                    #expect(count == 1)
                }
                #expect(loaded.count == 64 && store.count == 61)
            }
        }
    }

    @Test func itemWithARepeatedOrAnIncompleteAddressIsMalformed() {
        self.withStore { store, project, source in
            store.set(project, self.address(5), SuppressionReasons(rawValue: 1)) {}
            beginSnapshot(source)
            while store.writeNext() > 0 {}
            let body = snapshotItems(of: source).first { !$0.body.isEmpty }?.body ?? []
            self.withStore { loaded, project, _ in
                #expect(
                    (body + body).withUnsafeBytes {
                        loaded.load($0, hasProjects: true) { $0 == project.id ? project : nil }
                    } == nil)
            }
            self.withStore { loaded, project, _ in
                #expect(
                    body.dropLast().withUnsafeBytes {
                        loaded.load($0, hasProjects: true) { $0 == project.id ? project : nil }
                    } == nil)
            }
        }
    }

    /// Equal hashes of two projects: the project decides.
    @Test func addressOfOneProjectIsNotSuppressedInAnother() {
        self.withStore { store, project, _ in
            withProject(2) { other in
                store.set(project, self.address(1), SuppressionReasons(rawValue: 1)) {}
                #expect(store.reasons(other.id, self.address(1)).isEmpty)
                store.set(other, self.address(1), SuppressionReasons(rawValue: 2)) {}
                #expect(store.reasons(self.first, self.address(1)).rawValue == 1)
                other.record.pointee.isPurging = true
                let dropped = store.drop(in: 1, most: 9) { $0 == other.id ? other : project }
                #expect(dropped == 1 && store.reasons(other.id, self.address(1)).isEmpty)
                #expect(store.reasons(self.first, self.address(1)).rawValue == 1)
                #expect(project.record.pointee.suppressions == 1)
                #expect(other.record.pointee.suppressions == 0)
            }
        }
    }

    @Test func limitOfAddressesIsOfEachProject() {
        self.withStore { store, project, _ in
            withProject(2) { other in
                project.record.pointee.suppressions = SuppressionStore.addressesMax
                #expect(store.isFull(project) && !store.isFull(other))
            }
        }
    }
}
