import Bytes
import GRPCTransport
import Profiles

/// One command of a batch: the call that waits for it, its record, and its result.
package struct BatchSlot {
    /// The call that gets the response.
    package var token: CallToken
    /// Of the call; 0: none.
    package var project: ProjectID
    /// Echoed on streams; 0 for unary calls.
    package var sequence: UInt64 = 0
    /// Index among the pending requests of a stream; 0: a unary call.
    var ticket: UInt64 = 0
    /// A part of an import: its call reads the result itself.
    var isImportPart = false
    /// Offset of the record in `LogBatch.records`.
    package var recordOffset: Int
    /// Header, payload and padding of the record.
    package var recordBytes: Int
    /// How many lsns the record takes.
    package var operations: Int
    /// Items of the call, for the accounting.
    package var items: Int
    /// Offset of the result in `LogBatch.results`; meaningless when `rejection` is set.
    package var resultOffset: Int = 0
    /// Set by the committer when the record was not committed.
    package var rejection: Rejection = .none

    package init(
        token: CallToken, project: ProjectID = ProjectID(rawValue: 0), sequence: UInt64 = 0,
        recordOffset: Int, recordBytes: Int, operations: Int, items: Int
    ) {
        self.token = token
        self.project = project
        self.sequence = sequence
        self.recordOffset = recordOffset
        self.recordBytes = recordBytes
        self.operations = operations
        self.items = items
    }
}

/// The commands that one loop gathers in a tick: built by the loop, committed and applied by the
/// committer, responded to by the loop, and used again.
///
/// Owned by one thread at a time.
// SAFETY: queues and mailboxes hand it over under their locks, which order the memory; whoever
// handed it over does not use it until it comes back.
package final class LogBatch: @unchecked Sendable {
    /// Storage kept between uses; beyond it a batch gives back what one large message took.
    private static let bytesKept = 1 << 20

    /// The loop that built it and gets it back.
    package let loop: Int
    /// The records, one after the other.
    package var records = ByteBuffer(capacity: 64 << 10)
    /// The results, in the order of the slots.
    package var results = ByteBuffer(capacity: 64 << 10)
    package var slots: [BatchSlot] = []
    /// When it was where.
    var times = BatchTimes()
    /// Of the keys that it makes; `nil`: it has never made one.
    var secrets: NewSecrets?

    package init(loop: Int) {
        self.loop = loop
        self.slots.reserveCapacity(1_024)
    }

    package var isEmpty: Bool { self.slots.isEmpty }

    /// The record of a slot, header and padding included.
    package func record(of slot: BatchSlot) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            rebasing: self.records.bytes[slot.recordOffset ..< slot.recordOffset + slot.recordBytes]
        )
    }

    /// The records of a run of slots, one behind the other.
    func records(of slots: Range<Int>) -> UnsafeRawBufferPointer {
        let first = self.slots[slots.lowerBound]
        let last = self.slots[slots.upperBound - 1]
        return UnsafeRawBufferPointer(
            rebasing: self.records.bytes[
                first.recordOffset ..< last.recordOffset + last.recordBytes])
    }

    /// The result of a slot, from its header on.
    package func result(of slot: BatchSlot) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.results.bytes[slot.resultOffset...])
    }

    /// Removes the commands whose call has ended or passed its deadline meanwhile: an abandoned
    /// call costs no write, and a late one is not carried out.
    ///
    /// - Parameters:
    ///   - isAbandoned: Called once for each command.
    ///   - onRemoval: Called for those of which that is true.
    /// - Complexity: O(slots), and a copy of the records behind the first one removed.
    package func removeAll(
        where isAbandoned: (CallToken) -> Bool, onRemoval: (BatchSlot) -> Void
    ) {
        guard var kept = self.slots.firstIndex(where: { isAbandoned($0.token) }) else { return }
        onRemoval(self.slots[kept])
        var end = self.slots[kept].recordOffset
        let bytes = self.records.mutableBytes
        for index in kept + 1 ..< self.slots.count {
            var slot = self.slots[index]
            if isAbandoned(slot.token) {
                onRemoval(slot)
                continue
            }
            // SAFETY: `end` is at or before the record's old offset, and both are in the written
            // part of the buffer; `copyMemory` allows overlap.
            (bytes.baseAddress! + end).copyMemory(
                from: bytes.baseAddress! + slot.recordOffset, byteCount: slot.recordBytes)
            slot.recordOffset = end
            end += slot.recordBytes
            self.slots[kept] = slot
            kept += 1
        }
        self.slots.removeLast(self.slots.count - kept)
        self.records.truncate(to: end)
    }

    /// Makes it ready for the next tick.
    package func reset() {
        self.slots.removeAll(keepingCapacity: true)
        self.times = BatchTimes()
        self.secrets?.wipe()
        self.records.removeAll()
        self.results.removeAll()
        self.records.shrink(toCapacity: Self.bytesKept)
        self.results.shrink(toCapacity: Self.bytesKept)
    }
}
