extension Feed {
    /// Makes a cursor.
    ///
    /// - Parameter lsn: The first position to be read.
    package func makeCursor(from lsn: UInt64) -> FeedCursor { FeedCursor(self, from: lsn) }

    /// Where a cursor was in memory.
    struct MemoryHint {
        /// Of the block.
        var number: UInt64
        /// Of the next frame.
        var offset: Int
    }

    /// The published frames of a block, from a hint on.
    struct MemoryPart: Sendable {
        var block: FeedBlock
        var number: UInt64
        var offset: Int
        var end: Int
        /// What the feed is whole through at the end of the block.
        var throughLSN: UInt64

        /// Valid as long as the block.
        var bytes: UnsafeRawBufferPointer { self.block.bytes(self.offset ..< self.end) }
    }

    /// Where a position is.
    enum Location: Sendable {
        case gone(earliest: UInt64)
        case atHead(UInt64)
        case memory(MemoryPart)
        /// - Parameter limit: The position at which the next segment begins, or memory.
        case file(FeedSegment, limit: UInt64)
    }

    func locate(_ lsn: UInt64, _ hint: MemoryHint) -> Location {
        self.look { state in
            guard lsn >= state.earliest else { return .gone(earliest: state.earliest) }
            guard lsn <= state.lastChange else { return .atHead(state.head) }
            if let first = state.blocks.first,
                lsn >= first.firstLSN || lsn > state.writtenThrough
            {
                let index = state.blocks.lastIndex { $0.firstLSN <= lsn } ?? 0
                let held = state.blocks[index]
                let isLast = index == state.blocks.count - 1
                return .memory(
                    MemoryPart(
                        block: held.block, number: held.number,
                        offset: hint.number == held.number ? hint.offset : 0, end: held.end,
                        throughLSN: isLast ? state.head : state.blocks[index + 1].firstLSN - 1))
            }
            guard let index = state.segments.lastIndex(where: { $0.firstLSN <= lsn }) else {
                preconditionFailure("what is kept is in a file or in memory")
            }
            let limit = state.limit(ofSegment: index)
            precondition(lsn < limit, "what is not in memory is in a file")
            return .file(state.segments[index], limit: limit)
        }
    }

    /// A part of a segment cannot be read: the feed begins behind it. Nothing if the segment is in
    /// use no more.
    func lose(_ segment: FeedSegment, behind lsn: UInt64, _ reason: String) {
        let isLost = self.change { state in
            guard state.segments.contains(where: { $0.firstLSN == segment.firstLSN }),
                state.earliest < lsn
            else { return false }
            state.raise(to: lsn)
            state.lossReason = reason
            return true
        }
        if isLost { self.metrics.foundDamage() }
    }
}
