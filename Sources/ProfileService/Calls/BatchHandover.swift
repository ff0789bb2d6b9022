/// What passes between a worker and the loop of one of its calls, under the lock of that call: one
/// batch of messages at a time, the storage of the one before on its way back, and the end behind
/// them.
struct BatchHandover<Batch: Sendable, Ending: Sendable>: Sendable {
    /// What the loop finds.
    enum Finding: Sendable {
        case batch(Batch)
        case nothing
        case ended(Ending)
    }

    private var posted: Batch?
    private var spare: Batch?
    private(set) var ending: Ending?

    // MARK: The loop

    /// Takes the batch that waits, and gives back the storage of the one before.
    mutating func take(giving spare: Batch?) -> Finding {
        if let spare { self.spare = spare }
        guard let batch = self.posted else {
            return self.ending.map { .ended($0) } ?? .nothing
        }
        self.posted = nil
        return .batch(batch)
    }

    // MARK: The worker

    /// A batch can be posted.
    var hasHeadroom: Bool { self.posted == nil }

    /// Takes the storage of a batch that was sent.
    mutating func takeSpare() -> Batch? {
        defer { self.spare = nil }
        return self.spare
    }

    /// Leaves a batch for the loop.
    ///
    /// - Precondition: None waits.
    mutating func post(_ batch: Batch) {
        precondition(self.posted == nil, "the loop has taken the batch before")
        self.posted = batch
    }

    /// Leaves the end of the call, behind the batch that waits.
    mutating func end(_ ending: Ending) { self.ending = ending }

    /// Leaves the end of the call in the place of the batch that waits.
    mutating func abort(_ ending: Ending) {
        self.posted = nil
        self.ending = ending
    }
}
