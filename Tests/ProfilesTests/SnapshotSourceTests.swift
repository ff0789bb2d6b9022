import Bytes
import Testing

@testable import Profiles

/// The profiles and merges of a snapshot as a part of its own: no command, no log.
@Suite struct SnapshotSourceTests {
    private func add(_ id: UInt64, to identities: IdentityStore) -> ProfileRef {
        let header = ProfileHeader(
            id: ProfileID(high: id, low: id), project: ProjectID(rawValue: 1), lsn: id,
            receivedAt: 1, identity: 0, identityBytes: 0)
        return identities.pool.add(header, shard: Int(id % 3), locks: identities.locks)
    }

    /// Reference and revision of each profile that was written, in the order of the items.
    private func written(_ source: SnapshotSource) -> [(reference: UInt32, revision: UInt64)] {
        snapshotItems(of: source).filter { $0.kind == .profile }.map { item in
            item.body.withUnsafeBytes { body in
                var reader = ByteReader(body)
                var reference: UInt32 = 0
                let header = ProfileHeader(from: &reader, reference: &reference)
                return (reference, header.revision)
            }
        }
    }

    private func change(
        _ profile: ProfileRef, _ source: SnapshotSource, _ identities: IdentityStore
    ) {
        source.willChange(profile)
        identities.pool.header(profile).pointee.revision += 100
    }

    @Test func profileIsWrittenOnceAndAsItWasAtTheBeginning() {
        withSnapshotSource { source, identities in
            let profiles = (1 ... 9).map { self.add($0, to: identities) }
            let revision = identities.pool.header(profiles[0]).pointee.revision
            self.change(profiles[8], source, identities)
            beginSnapshot(source)
            #expect(source.writeNextProfile() > 0 && source.writeNextProfile() > 0)
            for _ in 0 ..< 2 {
                for profile in profiles { self.change(profile, source, identities) }
            }
            #expect(source.writeNextProfile() == 0, "every profile was written before its change")
            let written = self.written(source)
            #expect(Set(written.map(\.reference)) == Set(profiles.map(\.rawValue)))
            #expect(written.count == profiles.count)
            for (reference, found) in written {
                let isChangedBefore = reference == profiles[8].rawValue
                #expect(found == (isChangedBefore ? revision + 100 : revision))
            }
        }
    }

    @Test func laterProfileIsNotInTheSnapshot() {
        withSnapshotSource { source, identities in
            let first = self.add(3, to: identities)
            beginSnapshot(source)
            let late = self.add(6, to: identities)
            self.change(late, source, identities)
            while source.writeNextProfile() > 0 {}
            #expect(self.written(source).map(\.reference) == [first.rawValue])
        }
    }

    @Test func changeWithoutASnapshotWritesNothing() {
        withSnapshotSource { source, identities in
            let profile = self.add(1, to: identities)
            self.change(profile, source, identities)
            beginSnapshot(source)
            source.work.pointee.end()
            self.change(profile, source, identities)
            #expect(self.written(source).isEmpty)
        }
    }

    // MARK: Merges

    /// A list of merges with the lsns 1 ... count.
    private func merges(_ count: Int, in slab: Slab) -> (list: EntryList, blocks: [Handle]) {
        var blocks: [Handle] = []
        for lsn in 1 ... UInt64(count) {
            let block = slab.allocate(MergeEntry.blockBytes)
            MergeEntry(
                loser: ProfileRef(rawValue: UInt32(lsn)), survivor: ProfileRef(rawValue: 99),
                receivedAt: 1, lsn: lsn
            ).write(to: slab.pointer(block))
            if let last = blocks.last { slab.pointer(last).storeBytes(of: block, as: Handle.self) }
            blocks.append(block)
        }
        var list = EntryList()
        (list.head, list.tail, list.count) = (blocks[0], blocks[count - 1], UInt64(count))
        return (list, blocks)
    }

    private func losers(_ source: SnapshotSource) -> [UInt32] {
        snapshotItems(of: source).filter { $0.kind == .merge }.map { item in
            // Behind the project.
            item.body.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self) }
        }
    }

    @Test func removedMergeIsWrittenFirstUnlessItWasWritten() {
        withSnapshotSource { source, identities in
            let slab = identities.slab
            let (list, blocks) = self.merges(5, in: slab)
            withProject { project in
                project.merges = list
                beginSnapshot(source, of: project, lsn: 5)
                #expect(source.writeNextMerge() > 0)
                source.willRemove(blocks[0], of: project)
                source.willRemove(blocks[2], of: project)
                slab.pointer(blocks[1]).storeBytes(of: blocks[3], as: Handle.self)
                source.willRemove(blocks[1], of: project)
                while source.writeNextMerge() > 0 {}
                #expect(self.losers(source) == [1, 3, 2, 4, 5])
            }
        }
    }

    @Test func changedMergeIsWrittenOnceAsItWas() {
        withSnapshotSource { source, identities in
            let slab = identities.slab
            let (list, blocks) = self.merges(4, in: slab)
            withProject { project in
                project.merges = list
                for _ in 0 ..< 2 {
                    beginSnapshot(source, of: project, lsn: 3)
                    for _ in 0 ..< 2 { source.willChange(merge: blocks[2], of: project) }
                    // One that came later is not of the snapshot.
                    source.willChange(merge: blocks[3], of: project)
                    #expect(source.writeNextMerge() > 0)
                    source.willChange(merge: blocks[0], of: project)
                    source.willRemove(blocks[2], of: project)
                    #expect(source.work.pointee.merges.left == 2)
                    #expect(source.writeNextMerge() > 0)
                    #expect(self.losers(source) == [3, 1, 2])
                }
            }
        }
    }

    /// Each project's list has a cursor of its own, and one that came later has none.
    @Test func mergesOfEachProjectAreWrittenBeforeTheyAreRemoved() {
        withSnapshotSource { source, identities in
            let slab = identities.slab
            withProject(1) { first in
                withProject(2) { second in
                    withProject(3) { late in
                        for project in [first, second] {
                            project.merges = self.merges(3, in: slab).list
                        }
                        source.begin(lsn: 5, projects: [first, second])
                        late.merges = self.merges(3, in: slab).list
                        source.willRemove(second.merges.head, of: second)
                        source.willRemove(late.merges.head, of: late)
                        while source.writeNextMerge() > 0 {}
                        #expect(self.losers(source) == [1, 1, 2, 3, 2, 3])
                    }
                }
            }
        }
    }
}

/// A source over an empty store of profiles; everything is freed at the end.
func withSnapshotSource(_ body: (SnapshotSource, IdentityStore) throws -> Void) rethrows {
    let slab = Slab()
    let identities = IdentityStore(
        slab: slab, hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: .max))
    let merges = MergeTables(slab: slab, ids: DerivedIDs(secret: SipHashKey(k0: 3, k1: 4)))
    defer { merges.destroy() }
    let source = SnapshotSource(slab: slab, pool: identities.pool, merges: merges)
    defer {
        source.destroy()
        identities.destroy()
        slab.destroy()
    }
    try body(source, identities)
}

func beginSnapshot(_ source: SnapshotSource, of project: Project? = nil, lsn: UInt64 = 1) {
    source.begin(lsn: lsn, projects: project.map { [$0] } ?? [])
}

/// The items that were written so far; ends the snapshot.
func snapshotItems(of source: SnapshotSource) -> [(kind: SnapshotItem?, body: [UInt8])] {
    source.work.pointee.complete()
    var items: [(SnapshotItem?, [UInt8])] = []
    while let block = source.work.pointee.takeBlock() {
        var reader = ByteReader(block.bytes)
        while reader.remaining > 0 {
            let kind = reader.read(UInt32.self)
            let body = reader.read(count: Int(reader.read(UInt32.self)))
            items.append((SnapshotItem(rawValue: UInt8(kind)), Array(body)))
        }
    }
    source.work.pointee.end()
    return items
}
