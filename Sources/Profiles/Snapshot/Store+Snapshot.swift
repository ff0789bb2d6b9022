import Bytes

// The writing side of a snapshot. All of it runs on the applier, in pieces between two frames; what
// a record is about to change is written by the part that it belongs to. Readers of the store do
// not notice it, and no lock is taken.
//
// SAFETY: `snapshot.work` is one element that `SnapshotSource` owns as long as the store lives, and
// only the applier touches it.

extension Store {
    /// Begins a snapshot of the state as it is now, after everything that was applied.
    ///
    /// - Complexity: O(projects + names + triggers + profiles / 64).
    package func beginSnapshot() {
        self.keys.beginSnapshot()
        self.snapshot.begin(
            lsn: self.appliedLSN, projects: [self.projects.instance] + self.projects.all)
        self.writeStateItem()
        for project in self.projects.all {
            self.snapshot.work.pointee.writeItem(.project) { project.write(into: &$0) }
        }
        self.triggers.beginSnapshot()
    }

    /// Whether a snapshot is being written.
    package var isSnapshotting: Bool { self.snapshot.work.pointee.isActive }

    /// Whether the snapshot's last item is in a block.
    package var isSnapshotComplete: Bool { self.snapshot.work.pointee.isComplete }

    /// Bytes in blocks that were not taken yet.
    package var snapshotBytesWaiting: Int { self.snapshot.work.pointee.fullBytes }

    /// Writes the next items, about `bytes` of them and at least one.
    package func advanceSnapshot(bytes: Int) {
        var written = 0
        while written < bytes, !self.isSnapshotComplete { written += self.writeNextItem() }
    }

    /// The oldest full block; the last one is handed out once the snapshot is complete.
    package func takeSnapshotBlock() -> SnapshotBlock? { self.snapshot.work.pointee.takeBlock() }

    /// Ends the snapshot, whether every block was taken or it is abandoned.
    package func endSnapshot() {
        self.snapshot.work.pointee.end()
        self.triggers.endSnapshot()
    }

    // MARK: Items

    /// Writes the next item of the phase, or enters the next phase; returns the bytes written.
    private func writeNextItem() -> Int {
        switch self.snapshot.work.pointee.phase {
        case .suppressions: self.written(self.suppressions.writeNext(), then: .requests)
        case .requests: self.written(self.requests.writeNext(), then: .merges)
        case .merges: self.written(self.snapshot.writeNextMerge(), then: .blocks)
        case .blocks: self.written(self.erasure.writeNext(), then: .keys)
        case .keys: self.written(self.keys.writeNext(), then: .triggers)
        case .triggers: self.written(self.triggers.writeNext(), then: .profiles)
        case .profiles: self.written(self.snapshot.writeNextProfile(), then: .end)
        case .end: self.writeEndItem()
        }
    }

    private func written(_ bytes: Int, then next: SnapshotWork.Phase) -> Int {
        if bytes == 0 { self.snapshot.work.pointee.phase = next }
        return bytes
    }

    private func writeEndItem() -> Int {
        let bytes = self.snapshot.work.pointee.writeItem(.end) { _ in }
        self.snapshot.work.pointee.complete()
        return bytes
    }

    private func writeStateItem() {
        let state = self.state.pointee
        self.snapshot.work.pointee.writeItem(.state) { buffer in
            var genesis = ByteBuffer(capacity: 512)
            self.genesis.encode(into: &genesis)
            buffer.append(SnapshotFormat.version)
            buffer.appendPrefixed(genesis.bytes)
            buffer.append(self.appliedLSN)
            state.write(
                into: &buffer, lastEraseLSN: self.erasure.lastEraseLSN,
                nextProject: self.projects.nextID)
            let projects = [self.projects.instance] + self.projects.all
            buffer.append(UInt32(projects.count - 1))
            buffer.append(UInt64(self.suppressions.count))
            buffer.append(projects.reduce(0) { $0 + $1.requests.entries.count })
            buffer.append(projects.reduce(0) { $0 + $1.merges.count })
            buffer.append(projects.reduce(0) { $0 + $1.blocks.count })
            buffer.append(UInt64(self.keys.count))
            for shard in 0 ..< Shards.count {
                buffer.append(UInt32(self.pool.count(shard)))
                buffer.append(UInt32(self.index.count(shard)))
                buffer.append(UInt32(self.addresses.count(shard)))
                buffer.append(UInt32(self.events.count(shard)))
                buffer.append(self.pool.vacant(shard))
            }
            // Without triggers nothing: as it was before there were any.
            let triggers = self.triggers.totals
            guard triggers.triggers > 0 else { return }
            buffer.append(triggers.triggers)
            buffer.append(triggers.firings)
            buffer.append(triggers.fired)
        }
    }
}
