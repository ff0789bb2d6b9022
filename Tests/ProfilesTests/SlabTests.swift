import Testing

@testable import Profiles

@Suite struct SlabTests {
    @Test func everySizeGetsAClassThatHoldsItAndWastesAtMostAnEighth() {
        var lastIndex = -1
        for units in 1 ... Slab.classUnitsMax {
            let (index, rounded) = Slab.sizeClass(units: units)
            #expect(rounded >= units)
            #expect(units <= 16 ? rounded == units : (rounded - units) * 8 <= units)
            #expect(index == lastIndex || index == lastIndex + 1)
            #expect(Slab.sizeClass(units: rounded).index == index)
            lastIndex = index
        }
        #expect(lastIndex == Slab.classCount - 1)
    }

    /// The kernel gives huge pages to memory that begins and ends at one.
    @Test func chunksLieInPairsOnHugePages() {
        let slab = Slab()
        defer { slab.destroy() }
        var chunks: [UInt] = []
        for _ in 0 ..< 20 {
            // One block of the largest class that shares a chunk leaves no space for a fifth.
            let handle = slab.allocate(Slab.classUnitsMax * Slab.unitBytes)
            let address = UInt(bitPattern: slab.pointer(handle))
            let chunk = address / UInt(Slab.chunkBytes)
            if chunks.last != chunk { chunks.append(chunk) }
        }
        #expect(chunks.count >= 5)
        for (first, second) in zip(chunks, chunks.dropFirst()) where first.isMultiple(of: 2) {
            #expect(second == first + 1)
        }
        #expect(slab.bytesReserved == (chunks.count + 1) / 2 * Slab.regionBytes)
    }

    /// Blocks of all sizes, large regions too, each filled with its own byte: none may overlap
    /// another.
    @Test func blocksNeverOverlapThroughAllocationAndRelease() {
        let slab = Slab()
        defer { slab.destroy() }
        var random = SeededRandom(state: 5)
        var live: [(handle: Handle, bytes: Int, mark: UInt8)] = []
        func check(_ block: (handle: Handle, bytes: Int, mark: UInt8)) {
            let bytes = UnsafeRawBufferPointer(
                start: slab.pointer(block.handle), count: block.bytes)
            #expect(bytes.first == block.mark && bytes.last == block.mark)
        }
        for step in 0 ..< 5_000 {
            if live.count > 200 || (random.chance(45) && !live.isEmpty) {
                let block = live.remove(at: random.below(live.count))
                check(block)
                slab.deallocate(block.handle, bytes: block.bytes)
                continue
            }
            let large = random.chance(2)
            let bytes =
                large ? 200_000 + random.below(2_000_000) : 1 + random.below(1 << random.below(16))
            let block = (slab.allocate(bytes), bytes, UInt8(truncatingIfNeeded: step))
            let memory = UnsafeMutableRawBufferPointer(start: slab.pointer(block.0), count: bytes)
            memory.initializeMemory(as: UInt8.self, repeating: block.2)
            live.append(block)
        }
        live.forEach(check)
        live.forEach { slab.deallocate($0.handle, bytes: $0.bytes) }
        #expect(slab.bytesInUse == 0)
    }
}

@Suite struct HashTableTests {
    /// Few tags, so that chains run into each other and around the end.
    @Test func insertAndRemoveKeepEveryOtherEntryFindable() {
        var table = HashTable()
        defer { table.destroy() }
        var random = SeededRandom(state: 8)
        var model: [(tag: UInt32, value: UInt32)] = []
        for step in 1 ... 5_000 {
            if model.count > 100 || (random.chance(48) && !model.isEmpty) {
                let entry = model.remove(at: random.below(model.count))
                table.remove(entry.tag, entry.value)
            } else {
                let entry = (tag: UInt32.max - UInt32(random.below(12)), value: UInt32(step))
                model.append(entry)
                table.insertGrowing(entry.tag, entry.value)
            }
            guard step % 50 == 0 else { continue }
            for entry in model {
                var position = table.start(entry.tag)
                var found = false
                while case let value = table.next(entry.tag, from: &position), value != 0 {
                    if value == entry.value { found = true }
                }
                #expect(found)
            }
            #expect(table.count == model.count)
        }
    }
}
