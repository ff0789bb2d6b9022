import Bytes
import Testing

@testable import Profiles

/// The blocked identifiers with their limits and their items of a snapshot, as a part of its own.
@Suite struct ErasureStoreTests {
    private let id = ProjectID(rawValue: 1)

    private static var limits: StoreLimits {
        var limits = StoreLimits()
        limits.blockSeconds = 10
        limits.blocksPerProject = 4
        return limits
    }

    private func withStore(
        _ body: (borrowing ErasureStore, Project, SnapshotSource, Slab) throws -> Void
    ) rethrows {
        try withSnapshotSource { source, identities in
            let store = ErasureStore(
                slab: identities.slab, hash: identities.hash, limits: Self.limits,
                snapshot: source.work)
            defer { store.destroy() }
            try withProject { try body(store, $0, source, identities.slab) }
        }
    }

    private func block(
        _ text: String, at now: Int64, of project: Project, in store: borrowing ErasureStore
    ) {
        withBytes(text) {
            store.block(project, IdentifierView(kind: .customID, bytes: $0), now: now)
        }
    }

    private func end(
        of text: String, _ kind: IdentifierKind = .customID, at now: Int64 = 1,
        in store: borrowing ErasureStore
    ) -> Int64? {
        withBytes(text) {
            store.blockedUntil(self.id, IdentifierView(kind: kind, bytes: $0), now: now)
        }
    }

    @Test func identifierIsBlockedByKindAndForItsTime() {
        self.withStore { store, project, _, _ in
            #expect(self.end(of: "ann", in: store) == nil)
            self.block("ann", at: 1, of: project, in: store)
            #expect(self.end(of: "ann", in: store) == 10_000_001)
            #expect(self.end(of: "ann", .installationID, in: store) == nil)
            #expect(self.end(of: "bob", in: store) == nil)
            #expect(self.end(of: "ann", at: 10_000_001, in: store) == nil)
        }
    }

    @Test func identifierThatSeveralProfilesShareIsBlockedOnce() {
        self.withStore { store, project, _, _ in
            for _ in 0 ..< 3 { self.block("phone", at: 1, of: project, in: store) }
            #expect(store.blockCount == 1)
            self.block("phone", at: 2, of: project, in: store)
            #expect(store.blockCount == 2, "a later erasure extends it")
        }
    }

    @Test func oldestBlockEndsEarlyOverTheLimit() {
        self.withStore { store, project, _, _ in
            for number in 0 ..< 6 {
                self.block("p\(number)", at: Int64(number), of: project, in: store)
            }
            #expect(store.blockCount == 4)
            #expect(self.end(of: "p1", in: store) == nil && self.end(of: "p2", in: store) != nil)
        }
    }

    @Test func pastDueBlocksAreDroppedAndTheirMemoryIsFreed() {
        self.withStore { store, project, _, slab in
            for number in 0 ..< 3 {
                self.block("p\(number)", at: Int64(number), of: project, in: store)
            }
            #expect(store.due(project.blocks.oldestTime) == 10_000_000)
            #expect(store.dropPastDue(of: project, now: 10_000_001, most: 9) == 2)
            #expect(store.blockCount == 1 && store.due(project.blocks.oldestTime) == 10_000_002)
            #expect(store.dropPastDue(of: project, now: 10_000_002, most: 9) == 1)
            #expect(store.blockCount == 0 && project.blocks.count == 0 && slab.bytesInUse == 0)
        }
    }

    @Test func snapshotShowsTheBlocksOfItsBeginning() throws {
        try self.withStore { store, project, source, _ in
            for number in 0 ..< 4 {
                self.block("p\(number)", at: Int64(number), of: project, in: store)
            }
            beginSnapshot(source, of: project)
            // Over the limit, so that the oldest block, which is not written yet, is dropped.
            self.block("late", at: 4, of: project, in: store)
            _ = store.dropPastDue(of: project, now: 10_000_001, most: 9)
            while store.writeNext() > 0 {}
            let items = snapshotItems(of: source)
            try self.withStore { loaded, project, _, _ in
                var count = 0
                for item in items {
                    let found = item.body.withUnsafeBytes { body in
                        var reader = ByteReader(body)
                        #expect(reader.read(UInt32.self) == project.id.rawValue)
                        return loaded.load(&reader, of: project)
                    }
                    count += try #require(found)
                }
                #expect(count == 4 && loaded.blockCount == 4)
                #expect(self.end(of: "p0", in: loaded) == 10_000_000)
                #expect(self.end(of: "late", in: loaded) == nil)
            }
        }
    }

    @Test func incompleteItemIsMalformed() {
        self.withStore { store, project, source, _ in
            self.block("ann", at: 1, of: project, in: store)
            beginSnapshot(source, of: project)
            while store.writeNext() > 0 {}
            let body = snapshotItems(of: source)[0].body
            let count = body.dropLast().withUnsafeBytes { body in
                var reader = ByteReader(body)
                _ = reader.read(UInt32.self)
                return store.load(&reader, of: project)
            }
            #expect(count == nil)
        }
    }
}
