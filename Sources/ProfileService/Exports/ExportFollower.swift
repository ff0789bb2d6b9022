import Bytes
import Messages
import Profiles

/// One export as its worker sees it: whom it reads, and what is encoded of them.
///
/// Used by the worker's thread only.
final class ExportFollower {
    /// How a turn ended.
    enum Turn {
        /// There is more to do at once.
        case more
        /// The loop has not taken the batch before.
        case blocked
        case ended
    }

    let call: ExportCall
    /// It has no turn until the loop has taken a batch.
    var isBlocked = false
    private let coordinator: ExportCoordinator
    private let store: Store
    private let encoder: MessageEncoder
    private let reader: ExportReader
    private var batch = MessageBatch()
    /// The storage of one that was sent, for the next one.
    private var spare: MessageBatch?
    /// The loop has taken the batch before.
    private var hasHeadroom = true
    /// What the call ends with, behind the present batch.
    private var ending: ExportCall.Ending?
    private var token = ByteBuffer()

    init(
        _ call: ExportCall, _ coordinator: ExportCoordinator, store: Store, encoder: MessageEncoder
    ) {
        self.call = call
        self.coordinator = coordinator
        self.store = store
        self.encoder = encoder
        switch call.scope {
        case .profile(let identifier): self.reader = ExportReader(call.project, identifier)
        case .project(let position): self.reader = ExportReader(call.project, from: position)
        }
    }

    /// Looks at what the loop wants.
    ///
    /// - Returns: False if the call has ended.
    func hear() -> Bool {
        let demand = self.call.takeDemand()
        self.hasHeadroom = demand.hasHeadroom
        if let spare = demand.spare {
            spare.reset(keepingCapacity: self.coordinator.limits.batchBytes)
            self.spare = spare
        }
        return !demand.isClosed
    }

    /// Reads on until the batch is full.
    ///
    /// - Parameter now: By the machine's clock, in microseconds.
    func proceed(now: Int64) -> Turn {
        if let failure = self.call.projectFailure(in: self.store, now: now) {
            self.call.abort(failure)
            self.coordinator.calls.announce(self.call)
            return .ended
        }
        self.fill(now)
        let isFull = self.batch.count >= self.coordinator.limits.batchBytes
        guard isFull || self.ending != nil else {
            // A large person may take long: what there is goes first.
            if self.hasHeadroom, self.batch.count > 0 { self.post() }
            return .more
        }
        guard self.hasHeadroom else { return .blocked }
        let isEnding = self.ending != nil
        self.post()
        return isEnding ? .ended : .more
    }

    private func fill(_ now: Int64) {
        var (people, parts): (UInt64, UInt64) = (0, 0)
        defer { self.coordinator.metrics.add(people: people, parts: parts) }
        var pieces = 0
        while self.ending == nil, self.batch.count < self.coordinator.limits.batchBytes {
            switch self.reader.next(in: self.store, now: now) {
            case .part(let part):
                self.add(part)
                parts += 1
                if case .profile = part.content { people += 1 }
            case .more:
                pieces += 1
                guard pieces < self.coordinator.limits.piecesPerTurn else { return }
            case .end: self.ending = .done
            case .notFound: self.ending = .failed(.rejected(.profileNotFound))
            case .changed:
                self.ending = .failed(
                    .limitExceeded("export_copied_bytes", maximum: ExportReader.copiedBytesMax))
            }
        }
    }

    private func add(_ part: ExportPart) {
        // What was read first is what may have been erased longest ago.
        if self.batch.count == 0 { self.batch.erasure = self.reader.erasure }
        self.token.removeAll()
        if let position = part.nextPosition {
            self.store.appendExportToken(
                self.call.project, position: position, to: &self.token)
        }
        _ = self.batch.append(of: part.profileID) { output in
            guard part.isRedirected, case .profile(let identifier) = self.call.scope else {
                self.encoder.encodeExportPart(
                    part, pageToken: self.token.bytes, redirectedFrom: nil, into: &output)
                return true
            }
            identifier.withView {
                self.encoder.encodeExportPart(
                    part, pageToken: self.token.bytes, redirectedFrom: $0, into: &output)
            }
            return true
        }
    }

    private func post() {
        self.call.post(self.batch, endingWith: self.ending)
        self.hasHeadroom = false
        self.batch = self.spare ?? MessageBatch()
        self.spare = nil
        self.coordinator.calls.announce(self.call)
    }
}
