import Bytes
import Testing

@testable import Profiles

/// The profiles and their identifiers as a part of its own: no command, no log.
@Suite struct IdentityStoreTests {
    private let project = ProjectID(rawValue: 1)

    private func withStore(mask: UInt64 = .max, _ body: (IdentityStore) throws -> Void) rethrows {
        let slab = Slab()
        let store = IdentityStore(
            slab: slab, hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: mask))
        defer {
            store.destroy()
            slab.destroy()
        }
        try body(store)
    }

    /// Adds a profile with a custom id, and enters both of its names.
    private func add(_ customID: String, id: UInt64, to store: IdentityStore) -> ProfileRef {
        withBytes(customID) { bytes in
            let identifier = IdentifierView(kind: .customID, bytes: bytes)
            let size = IdentityPart.bytes(of: identifier)
            let block = store.slab.allocate(size)
            IdentityPart.write(identifier, platform: 0, at: 1, to: store.slab.pointer(block))
            let id = ProfileID(high: id, low: id)
            let hash = store.profileIDHash(self.project, id)
            let header = ProfileHeader(
                id: id, project: self.project, lsn: 1, receivedAt: 1, identity: block,
                identityBytes: size)
            let profile = store.pool.add(header, shard: Shards.shard(hash), locks: store.locks)
            let hashes = [hash, store.hash.identifier(self.project, identifier)]
            store.index.apply(
                hashes.map { .init(hash: $0, profile: profile, isRemoval: false) }
            ) {}
            return profile
        }
    }

    private func find(_ customID: String, in store: IdentityStore, project: UInt32 = 1)
        -> ProfileRef?
    {
        withBytes(customID) {
            let identifier = IdentifierView(kind: .customID, bytes: $0)
            let project = ProjectID(rawValue: project)
            return store.find(
                project, identifier, hash: store.hash.identifier(self.project, identifier))?
                .profile
        }
    }

    @Test(arguments: [UInt64.max, 0])
    func identifierFindsItsProfileEvenIfAllHashesAreEqual(mask: UInt64) {
        self.withStore(mask: mask) { store in
            let (ann, bob) = (self.add("ann", id: 1, to: store), self.add("bob", id: 2, to: store))
            #expect(self.find("ann", in: store) == ann && self.find("bob", in: store) == bob)
            #expect(self.find("eve", in: store) == nil)
            #expect(self.find("ann", in: store, project: 2) == nil, "another project's")
        }
    }

    @Test func mergedProfileLeadsToTheEndOfItsChainUnderItsOwnIds() {
        self.withStore { store in
            let all = (1 ... 3).map { self.add("p\($0)", id: UInt64($0), to: store) }
            store.pool.header(all[0]).pointee.mergedInto = all[1].rawValue
            store.pool.header(all[1]).pointee.mergedInto = all[2].rawValue
            #expect(store.survivor(of: all[0]) == all[2])
            #expect(self.find("p1", in: store) == all[2], "a custom id is an alias")
            store.pool.header(all[0]).pointee.identity = 0
            #expect(self.find("p1", in: store) == nil, "the survivor took it")
            withUnsafeBytes(of: (UInt64(1).bigEndian, UInt64(1).bigEndian)) {
                let id = IdentifierView(kind: .profileID, bytes: $0)
                let hash = store.hash.identifier(self.project, id)
                let found = store.find(self.project, id, hash: hash)
                #expect(found?.profile == all[2] && found?.isAlias == true)
                #expect(store.holder(self.project, id, hash: hash) == all[0])
            }
        }
    }

    @Test func erasedProfileIsNotFoundByItsNames() {
        self.withStore { store in
            let ann = self.add("ann", id: 1, to: store)
            store.pool.header(ann).pointee.identity = 0
            #expect(self.find("ann", in: store) == nil)
        }
    }

    @Test func headerHasTheSizeThatTheLayoutDecisionNames() {
        #expect(MemoryLayout<ProfileHeader>.stride == 128)
    }
}
