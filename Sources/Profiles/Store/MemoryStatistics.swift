/// Bytes of the store by their use.
package struct MemoryStatistics: Equatable, Sendable {
    /// Blocks in use: identities, counters, event indexes, events, kept responses.
    package var slabBytesInUse: Int
    /// What the slab has taken from the system, free blocks included.
    package var slabBytesReserved: Int
    package var profileHeaderBytes: Int
    /// With that of addresses, and the tables of merges.
    package var identifierIndexBytes: Int
    /// The table of retained events by id.
    package var eventIndexBytes: Int
    /// Kept responses; inside the slab.
    package var requestBytes: Int
    package var requestTableBytes: Int
    /// The table of suppressed addresses.
    package var suppressionBytes: Int
    /// The tables of blocked identifiers; the entries are in the slab.
    package var blockTableBytes: Int
    /// With the records of projects.
    package var nameBytes: Int
    /// Keys and their tables.
    package var keyBytes: Int
    /// Triggers, queues and tables of firings; the firings are in the slab.
    package var triggerBytes: Int
    /// Events retained, in all profiles.
    package var retainedEvents: Int

    /// Bytes taken from the system.
    package var totalBytes: Int {
        self.slabBytesReserved + self.profileHeaderBytes + self.identifierIndexBytes
            + self.eventIndexBytes
            + self.requestTableBytes + self.suppressionBytes + self.blockTableBytes + self.nameBytes
            + self.keyBytes + self.triggerBytes
    }

    /// Bytes in use; the rest are free blocks.
    package var usedBytes: Int { self.totalBytes - self.slabBytesReserved + self.slabBytesInUse }

    /// The limit of a store's memory in bytes: handles name 64 GiB, and an eighth is reserved for
    /// calls that are never rejected for lack of memory.
    package static let bytesMax = Slab.chunksMax / 8 * 7 * Slab.chunkBytes
}

// SAFETY: `state` is one element that `Store` owns; only the applier follows it.
extension Store {
    /// Changes with each chunk of memory that the store takes for blocks and headers; O(1). For the
    /// applier.
    package var memoryMark: Int {
        self.slab.bytesReserved &+ self.state.pointee.profileCount / ProfilePool.chunkSlots
            &+ (self.keys.bytes + self.triggers.queueBytes) / Slab.chunkBytes
    }

    /// Bytes by their use; for the applier, or while nothing is applied.
    package var memory: MemoryStatistics {
        MemoryStatistics(
            slabBytesInUse: self.slab.bytesInUse, slabBytesReserved: self.slab.bytesReserved,
            profileHeaderBytes: self.pool.bytes,
            identifierIndexBytes: self.index.bytes + self.addresses.bytes + self.merges.bytes,
            eventIndexBytes: self.events.bytes,
            requestBytes: self.projects.all.reduce(self.projects.instance.requests.bytes) {
                $0 + $1.requests.bytes
            },
            requestTableBytes: self.requests.tableBytes,
            suppressionBytes: self.suppressions.bytes,
            blockTableBytes: self.erasure.tableBytes,
            nameBytes: self.projects.bytes, keyBytes: self.keys.bytes,
            triggerBytes: self.triggers.bytes,
            retainedEvents: self.events.count)
    }
}
