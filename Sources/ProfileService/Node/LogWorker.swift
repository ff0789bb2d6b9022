import IOCore
import Storage

/// Makes submitted batches durable and applies them; the body of the log thread.
final class LogWorker: Steppable {
    private let committer: Committer
    private let pipeline: CommitPipeline
    private let log: SegmentedLog
    private var batches: [LogBatch] = []
    private var hasEnded = false

    init(_ committer: Committer, _ pipeline: CommitPipeline, _ log: SegmentedLog) {
        self.committer = committer
        self.pipeline = pipeline
        self.log = log
    }

    func step() -> NextStep {
        guard !self.hasEnded else { return .ended }
        let isStopping = self.pipeline.take(into: &self.batches)
        if !self.batches.isEmpty {
            self.committer.process(self.batches, in: self.pipeline)
            self.batches.removeAll(keepingCapacity: true)
            return .now
        }
        if isStopping {
            self.committer.close()
            self.log.close()
            self.hasEnded = true
            return .ended
        }
        let pause = self.committer.rest(in: self.pipeline)
        return pause == 0 ? .now : .after(nanoseconds: pause)
    }
}
