import Bytes
import Profiles

/// The batches that the committer has taken and not yet given back, the oldest first.
///
/// Frames refer to runs of slots by cursors, so that several frames may share a batch and a frame
/// may span several. A batch stays here, with its records unchanged, until every one of its slots
/// is settled.
struct BatchQueue {
    /// A place between two slots.
    struct Cursor {
        /// Batches are counted from the first one taken.
        var batch = 0
        var slot = 0
    }

    /// The records between two cursors.
    struct Run {
        var start: Cursor
        var end: Cursor
        var commands = 0
        var operations = 0
        var bytes = 0
    }

    private var batches: [LogBatch] = []
    /// The count of `batches[0]`.
    private var firstBatch = 0
    /// The first slot that no frame has taken.
    private(set) var unframed = Cursor()
    /// Slots that no frame has taken.
    private(set) var unframedCommands = 0

    /// Whether every batch was given back.
    var isEmpty: Bool { self.batches.isEmpty }

    /// Whether there are slots that no frame has taken.
    var hasUnframed: Bool { self.unframed.batch < self.firstBatch + self.batches.count }

    /// Adds batches, and removes them from `new`, whose storage is kept.
    mutating func add(_ new: inout [LogBatch]) {
        guard !new.isEmpty else { return }
        for batch in new { self.unframedCommands += batch.slots.count }
        self.batches.append(contentsOf: new)
        new.removeAll(keepingCapacity: true)
    }

    /// The next run of records within the bounds, at least one record if there is any.
    func nextRun(commandsMax: Int, limits: PipelineLimits) -> Run {
        var run = Run(start: self.unframed, end: self.unframed)
        while run.end.batch < self.firstBatch + self.batches.count {
            let batch = self.batches[run.end.batch - self.firstBatch]
            while run.end.slot < batch.slots.count {
                let next = batch.slots[run.end.slot]
                let fits =
                    run.commands < commandsMax
                    && run.operations + next.operations <= limits.frameOperationsMax
                    && run.bytes + next.recordBytes <= limits.frameBytesMax
                guard fits || run.commands == 0 else { return run }
                run.commands += 1
                run.operations += next.operations
                run.bytes += next.recordBytes
                run.end.slot += 1
            }
            run.end = Cursor(batch: run.end.batch + 1)
        }
        return run
    }

    /// Everything that no frame has taken.
    var everythingUnframed: Run {
        Run(
            start: self.unframed,
            end: Cursor(batch: self.firstBatch + self.batches.count),
            commands: self.unframedCommands)
    }

    /// Notes that a frame has taken a run.
    mutating func take(_ run: Run) {
        self.unframed = run.end
        self.unframedCommands -= run.commands
    }

    /// The records of a run, if all of them are in one batch; valid until the run is settled.
    func contiguousBytes(of run: Run) -> UnsafeRawBufferPointer? {
        let batch = self.batches[run.start.batch - self.firstBatch]
        let endsInNext = run.end.batch == run.start.batch + 1 && run.end.slot == 0
        guard run.end.batch == run.start.batch || endsInNext else { return nil }
        let end = endsInNext ? batch.slots.count : run.end.slot
        return batch.records(of: run.start.slot ..< end)
    }

    /// Calls `body` with each batch's part of a run.
    func forEachPart(of run: Run, _ body: (LogBatch, Range<Int>) -> Void) {
        let last = min(run.end.batch, self.firstBatch + self.batches.count - 1)
        guard run.start.batch <= last else { return }
        for number in run.start.batch ... last {
            let batch = self.batches[number - self.firstBatch]
            let lower = number == run.start.batch ? run.start.slot : 0
            let upper = number == run.end.batch ? run.end.slot : batch.slots.count
            if lower < upper { body(batch, lower ..< upper) }
        }
    }

    /// Removes the batches that lie wholly before a cursor, and gives each to `body`.
    mutating func removeAll(before cursor: Cursor, _ body: (LogBatch) -> Void) {
        let count = cursor.batch - self.firstBatch
        guard count > 0 else { return }
        for index in 0 ..< count { body(self.batches[index]) }
        self.batches.removeFirst(count)
        self.firstBatch += count
    }
}
