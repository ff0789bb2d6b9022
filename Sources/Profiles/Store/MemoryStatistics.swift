/// Bytes of the store by their use.
package struct MemoryStatistics: Equatable, Sendable {
    /// Blocks in use: identities, counters, event indexes, events, remembered responses.
    package var slabBytesInUse: Int
    /// What the slab has taken from the system, free blocks included.
    package var slabBytesReserved: Int
    package var profileHeaderBytes: Int
    /// With that of addresses.
    package var identifierIndexBytes: Int
    /// The table of retained events by id.
    package var eventIndexBytes: Int
    /// Remembered responses; inside the slab.
    package var requestBytes: Int
    package var requestTableBytes: Int
    /// The table of suppressed addresses.
    package var suppressionBytes: Int
    /// The tables of blocked identifiers; the entries lie in the slab.
    package var blockTableBytes: Int
    package var nameBytes: Int
    /// Events retained, in all profiles.
    package var retainedEvents: Int

    /// Bytes taken from the system.
    package var totalBytes: Int {
        self.slabBytesReserved + self.profileHeaderBytes + self.identifierIndexBytes
            + self.eventIndexBytes
            + self.requestTableBytes + self.suppressionBytes + self.blockTableBytes + self.nameBytes
    }

    /// Bytes that hold something: the rest is blocks that were freed and wait for their next use.
    package var usedBytes: Int { self.totalBytes - self.slabBytesReserved + self.slabBytesInUse }

    /// What a store may ever take: handles name 64 GiB, and an eighth is left for what may never be
    /// rejected.
    package static let bytesMax = Slab.chunksMax / 8 * 7 * Slab.chunkBytes
}

extension Store {
    /// Changes with each piece of memory that the store takes for blocks and headers, and costs
    /// nothing to look at; for the applier.
    package var memoryMark: Int {
        self.slab.bytesReserved &+ self.state.pointee.profileCount / ProfilePool.chunkSlots
    }

    /// Where the memory goes; for the applier, or while nothing is applied.
    package var memory: MemoryStatistics {
        MemoryStatistics(
            slabBytesInUse: self.slab.bytesInUse, slabBytesReserved: self.slab.bytesReserved,
            profileHeaderBytes: self.pool.bytes,
            identifierIndexBytes: self.index.bytes + self.addresses.bytes,
            eventIndexBytes: self.events.bytes,
            requestBytes: self.project.requests.bytes,
            requestTableBytes: self.project.requests.tableBytes,
            suppressionBytes: self.suppressions.bytes,
            blockTableBytes: self.erasure.tableBytes,
            nameBytes: self.project.names.bytes, retainedEvents: self.events.count)
    }
}

