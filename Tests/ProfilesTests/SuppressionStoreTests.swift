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
                let dropped = store.drop(in: 1, part: 0) { $0 == other.id ? other : project }
                #expect(dropped == 1 && store.reasons(other.id, self.address(1)).isEmpty)
                #expect(store.reasons(self.first, self.address(1)).rawValue == 1)
                #expect(project.record.pointee.suppressions == 1)
                #expect(other.record.pointee.suppressions == 0)
            }
        }
    }

    /// Each part is as much of a shard as its addresses say, in whatever order they came, and the
    /// memory goes with them.
    @Test func shardOfAPurgedProjectGoesInPartsThatDependOnNoOrder() {
        let lows = (0 ..< 4_000).map { UInt64($0) &* 0x9E37_79B9_7F4A_7C15 }
        for addresses in [lows, lows.reversed()] {
            self.withStore { store, project, _ in
                let empty = store.bytes
                for low in addresses {
                    store.set(project, AddressHash(low: low, high: 1 << 58), [.manual]) {}
                }
                project.record.pointee.isPurging = true
                for part in 0 ..< SuppressionStore.partsPerShard {
                    let expected = lows.filter { $0 >> 60 == UInt64(part) }
                    #expect(200 ... 300 ~= expected.count)
                    #expect(store.drop(in: 1, part: part) { _ in project } == expected.count)
                    #expect(
                        expected.allSatisfy {
                            store.reasons(self.first, AddressHash(low: $0, high: 1 << 58)).isEmpty
                        })
                    #expect(store.drop(in: 1, part: part) { _ in project } == 0)
                }
                #expect(store.count == 0 && store.lockedCount == 0 && store.bytes == empty)
            }
        }
    }

    @Test func suppressionsAreTakenOverTheMemoryLimitUpToABoundOfTheStore() throws {
        let fixture = TrackFixture()
        try fixture.create("other")
        func isTaken(_ kind: RecordKind, most: Int) -> Bool {
            var buffer = ByteBuffer()
            let start = beginRecord(kind, in: &buffer)
            endRecord(at: start, operations: 1, in: &buffer)
            return RecordView(buffer.bytes).map {
                fixture.store.takesOverMemoryLimit($0, suppressionsMax: most)
            } ?? false
        }
        for project in 1 ... 2 as ClosedRange<UInt32> {
            let found = try #require(
                fixture.store.projects.find(ProjectID(rawValue: project)))
            fixture.store.suppressions.set(found, self.address(UInt64(project)), [.manual]) {}
        }
        #expect(isTaken(.addSuppression, most: 3) && !isTaken(.addSuppression, most: 2))
        #expect(isTaken(.erase, most: 0) && isTaken(.redeemUnsubscribe, most: 0))
        #expect(!isTaken(.track, most: 3))
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
