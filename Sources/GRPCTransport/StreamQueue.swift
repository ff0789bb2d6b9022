/// Streams that the next step of a batch is for, first come, first served.
///
/// The code of one call does not fit the instruction cache: a step that is done for all calls of a
/// read, one after the other, finds its instructions there, where one call from end to end loads
/// all of them anew (decision 0560).
///
/// Bounded by what a loop reads between two drains: an entry is of a HEADERS frame of its own.
final class StreamQueue {
    /// A stream as it was: the object may serve another call by now.
    private struct Entry {
        // SAFETY: the loop's table owns every stream until the loop's deinit, longer than any
        // entry.
        let stream: Unmanaged<RPCStream>
        let generation: UInt32
    }

    private var entries: [Entry] = []

    @inline(__always)
    func append(_ stream: RPCStream) {
        self.entries.append(
            Entry(stream: .passUnretained(stream), generation: stream.generation))
    }

    /// Empties the queue, and calls `body` with every stream that is still open, and its
    /// connection.
    ///
    /// Budget: no allocation in the steady state.
    @inline(__always)
    func drain(_ body: (RPCStream, Connection) -> Void) {
        var index = 0
        while index < self.entries.count {
            let entry = self.entries[index]
            entry.stream._withUnsafeGuaranteedRef { stream in
                guard stream.generation == entry.generation else { return }
                stream.withConnection { body(stream, $0) }
            }
            index += 1
        }
        self.entries.removeAll(keepingCapacity: true)
    }
}
