import Bytes
import GRPCTransport
import Messages
import Profiles

/// An open ImportProfiles. Each message is a chunk: it is packed in slices, cut into parts, and has
/// its response once its last part is durable. What ends the stream keeps what came before.
///
/// Two chunks are kept: while the older one is in the log the other is packed. Parts enter the log
/// in order, so what is durable of a chunk is a prefix of it, and a chunk that is sent again
/// continues there.
final class ImportCall: LiveCall {
    /// A chunk and how far it has got.
    private struct Work {
        let chunk: ImportChunk
        /// Of its response, among the requests of the stream.
        let ticket: UInt64
        /// Of the next part for the log; `nil`: all parts are there.
        var nextPart: Int? = 0
        /// Of the parts that are back.
        var lsn: UInt64 = 0
        /// Of a validation.
        var counts = ImportCounts()
        var hasDone = false
    }

    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let requests: OrderedRequests
    /// `nil`: there are too many imports, or too many of its peer, and this one is rejected.
    private let place: ImportQueue.Place?
    /// Of the first message; `nil`: it has not come.
    private var project: ProjectID?
    /// The oldest first.
    private var work: [Work] = []
    private var partsInFlight = 0
    /// Whether the call is in `ServiceLoop.continuing`, and in `ServiceLoop.imports`.
    private var isContinuing = false
    private var isQueued = false
    private var requestsHaveEnded = false
    /// How the call ends; `nil`: it goes on.
    private var ending: Ending?

    private enum Ending {
        /// Once the chunks that came before have their responses: no further message is taken.
        case behindChunks(RPCStatus)
        /// Once its parts are back: no further part is submitted.
        case behindParts(RPCStatus)
    }

    var token: CallToken { self.requests.token }
    var orderedRequests: OrderedRequests? { self.requests }

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.place = loop.imports.makePlace(for: loop.peer(of: token))
        self.requests = OrderedRequests(
            loop, token, requestsInFlightMax: loop.streamLimits.importChunksPerStreamMax)
    }

    // MARK: Requests

    func receive(_ message: UnsafeRawBufferPointer) {
        guard self.ending == nil else { return }
        guard self.place != nil else { return self.end(with: self.loop.imports.rejection) }
        switch self.loop.resolve(message, of: self.token, decode: { $0.decoder.decodeImport($1) }) {
        case .request(let request, let context):
            guard self.project ?? context.project == context.project else {
                self.loop.count(rejected: request.itemCount, of: context.project)
                return self.end(
                    with: .invalid("project", "another project than that of the first message"))
            }
            self.project = context.project
            self.take(request, context)
        case .rejected(let failure): self.end(with: failure)
        }
    }

    private func take(_ request: DecodedImport, _ context: RequestContext) {
        let store = context.partition.store
        let chunk = ImportChunk(
            request, project: context.project,
            eventIDs: store.importEventIDs(chunkID: request.chunkID),
            content: store.importContent(), limits: self.loop.streamLimits.importParts,
            buffers: self.loop.imports.buffers)
        self.work.append(Work(chunk: chunk, ticket: self.requests.begin()))
        self.requests.advance()
        self.continueLater()
    }

    func requestsEnded() {
        self.requestsHaveEnded = true
        self.endIfDone()
    }

    func requestsFailed(with status: RPCStatus) -> Bool {
        self.end(with: status)
        return true
    }

    func becameWritable() {
        self.requests.sendReady()
        self.requests.advance()
    }

    // MARK: The end

    /// What is in the log has its outcome; a chunk that is complete by then has its response, any
    /// other continues on another stream.
    func drain() { self.end(behindPartsWith: .rejected(.draining)) }

    func stop(with failure: CallFailure) -> Bool {
        self.end(behindPartsWith: failure)
        return true
    }

    func cancelled() {
        self.work = []
        self.requests.release()
    }

    /// Ends the call for what is wrong with the newest message.
    private func end(with failure: CallFailure) { self.end(with: RPCStatus(failure)) }

    private func end(with status: RPCStatus) {
        guard self.ending == nil else { return }
        self.ending = .behindChunks(status)
        self.loop.transport.pauseRequests(of: self.token)
        self.endIfDone()
    }

    /// Ends the call for what befell the oldest chunk, which matters more than what came behind it.
    private func end(behindPartsWith failure: CallFailure) {
        if case .behindParts = self.ending { return self.endIfDone() }
        self.ending = .behindParts(RPCStatus(failure))
        self.loop.transport.pauseRequests(of: self.token)
        self.endIfDone()
    }

    /// Whether chunks are still packed and submitted.
    private var isWorking: Bool { if case .behindParts = self.ending { false } else { true } }

    private func endIfDone() {
        guard self.loop.liveCalls[self.token] != nil else { return }
        switch self.ending {
        case .behindParts(let status) where self.partsInFlight == 0:
            self.abandonWork()
            self.requests.end(with: status)
        case .behindChunks(let status) where self.work.isEmpty: self.requests.end(with: status)
        case nil where self.requestsHaveEnded && self.work.isEmpty:
            self.requests.end(with: RPCStatus(.ok, ""))
        default: break
        }
    }

    /// Drops the chunks that are not complete; their requests get no response.
    private func abandonWork() {
        self.work = []
        self.requests.machine.responses.dropAwaited()
    }

    // MARK: Packing

    private func continueLater() {
        guard !self.isContinuing else { return }
        self.isContinuing = true
        self.loop.continuing.add(self.token)
        self.loop.transport.wake()
    }

    /// Packs a slice of the oldest chunk that is not packed.
    func proceed() -> CallProgress {
        let next = self.work.firstIndex { !$0.chunk.isPacked }
        guard self.isWorking, let next else {
            self.isContinuing = false
            return .done
        }
        if self.work[next].chunk.packSlice(with: self.loop.decoder), next == 0 { self.enqueue() }
        guard self.work.contains(where: { !$0.chunk.isPacked }) else {
            self.isContinuing = false
            return .done
        }
        return .more
    }

    // MARK: Parts

    /// Lets the call submit its next part when it is its turn.
    private func enqueue() {
        guard !self.isQueued, let first = self.work.first, first.chunk.isPacked,
            first.nextPart != nil
        else { return }
        self.isQueued = true
        self.loop.imports.waiting.append(self.token)
    }

    /// Adds the next part to the open batch.
    ///
    /// - Returns: Whether the call shall have another turn; it is not in the queue meanwhile.
    func submitNextPart() -> ImportQueue.Turn {
        self.isQueued = false
        // A chunk that was done before makes way for one that may not be packed yet.
        guard self.isWorking, let first = self.work.first, first.chunk.isPacked,
            let part = first.nextPart, let partition = self.loop.partition
        else { return .done }
        let context = RequestContext(
            token: self.token, caller: self.loop.caller(of: self.token),
            project: first.chunk.project, partition: partition,
            message: UnsafeRawBufferPointer(start: nil, count: 0))
        let items = first.chunk.items(ofPart: part)
        let admission = self.loop.append(
            .importPart, operations: first.chunk.operations(ofPart: part), items: items, context,
            isOfStream: true, updates: first.chunk.updates(ofPart: part)
        ) {
            first.chunk.writePart(part, into: &$0)
        }
        switch admission {
        case .added: break
        case .rejected(.rateExceeded), .overQuota:
            self.isQueued = true
            return .blocked
        case .rejected, .blocked:
            if let failure = admission.failure { self.end(behindPartsWith: failure) }
            return .done
        }
        let last = self.loop.batch.slots.count - 1
        self.loop.batch.slots[last].ticket = first.ticket
        self.loop.batch.slots[last].isImportPart = true
        self.partsInFlight += 1
        self.loop.imports.partsInFlight += 1
        self.work[0].nextPart = part + 1 < first.chunk.partCount ? part + 1 : nil
        self.isQueued = self.work[0].nextPart != nil
        return self.isQueued ? .more : .done
    }

    func complete(_ part: BatchSlot, of batch: LogBatch) {
        self.partsInFlight -= 1
        // What comes behind the end of its chunk was done before.
        guard let first = self.work.first, first.ticket == part.ticket else {
            return self.endIfDone()
        }
        guard case .none = part.rejection else {
            return self.end(behindPartsWith: .notAdmitted(part.rejection))
        }
        var reader = ByteReader(batch.result(of: part))
        guard let header = ResultHeader(from: &reader) else {
            preconditionFailure("a result of this process is whole")
        }
        guard case .none = header.rejection else {
            return self.end(behindPartsWith: Self.failure(of: header))
        }
        guard let body = ImportResultBody(from: &reader) else {
            preconditionFailure("a result of this process is whole")
        }
        self.note(body, header)
        self.enqueue()
        self.endIfDone()
    }

    private static func failure(of header: ResultHeader) -> CallFailure {
        switch header.rejection {
        case .limitExceeded:
            .limitExceeded("request_ids_per_project_max", maximum: Int(header.detail))
        case .requestIDReused:
            .rejected(
                .requestIDReused,
                ErrorContext(message: "this chunk_id was used for other operations"))
        case let other: .rejected(other)
        }
    }

    /// Notes a part that is durable, and responds to its chunk if it was the last one.
    private func note(_ body: ImportResultBody, _ header: ResultHeader) {
        self.work[0].lsn = max(self.work[0].lsn, header.lsn)
        if !header.isReplayed { self.work[0].hasDone = true }
        let chunk = self.work[0].chunk
        if chunk.isValidation {
            if let counts = body.counts { self.work[0].counts.add(counts) }
            guard body.done == chunk.operationCount else { return }
            return self.respond(self.work[0].counts)
        }
        if let counts = body.counts { return self.respond(counts) }
        // Parts that were durable before the chunk was sent again are passed over.
        if let next = self.work[0].nextPart {
            self.work[0].nextPart = chunk.part(behind: body.done).map { max($0, next) }
        }
    }

    private func respond(_ counts: ImportCounts) {
        let done = self.work.removeFirst()
        self.loop.response.removeAll()
        self.loop.encoder.encodeImportResponse(
            to: done.chunk, counts, lsn: done.lsn, isReplayed: !done.hasDone,
            into: &self.loop.response)
        self.requests.reply(to: done.ticket, with: self.loop.response.bytes)
        self.requests.advance()
    }
}

/// The imports of a loop that have parts for the log, and how many are there.
///
/// Each import submits one part, then it is the next one's turn: many of them share what one alone
/// would have. Used by its loop's thread only.
final class ImportQueue {
    /// One of the imports that a loop may have open; it ends with its owner.
    final class Place {
        private let queue: ImportQueue
        private let peer: PeerAddress

        /// Takes over a place that was taken for a peer.
        fileprivate init(_ queue: ImportQueue, _ peer: PeerAddress) {
            self.queue = queue
            self.peer = peer
        }

        deinit {
            self.queue.places.giveBack(self.peer)
            if self.queue.places.count == 0 { self.queue.buffers.removeAll() }
        }
    }

    /// How the turn of an import ended.
    enum Turn {
        /// It has no further part.
        case done
        case more
        /// The log is behind, or its key has used up its operations per second.
        case blocked
    }

    /// Those with a part, the next one first; each is in it once.
    var waiting: [CallToken] = []
    /// Parts that wait for the log.
    var partsInFlight = 0
    private var places: PeerPlaces
    /// Of chunks that are done, while an import is open.
    let buffers = ImportBuffers()
    /// `CommitPipeline.batchesOfCalls` as seen last, and batches with parts since.
    private var callsSeen: UInt64 = 0
    private var batchesAlone = 0

    /// - Parameter importsMax: Imports that may be open.
    init(importsMax: Int) {
        self.places = PeerPlaces(
            placesMax: importsMax, limit: "import_streams_max",
            limitPerPeer: "import_streams_per_peer_max")
    }

    /// Whether another call has written since so many batches with parts.
    func isBesideCalls(_ pipeline: CommitPipeline, yieldBatches: Int) -> Bool {
        let calls = pipeline.batchesOfCalls
        if calls != self.callsSeen { (self.callsSeen, self.batchesAlone) = (calls, 0) }
        return self.batchesAlone < yieldBatches
    }

    /// A batch has parts.
    func noteBatch() { self.batchesAlone += 1 }

    /// A place for one more import of a peer; `nil`: there is none, see `rejection`.
    func makePlace(for peer: PeerAddress) -> Place? {
        self.places.take(peer) ? Place(self, peer) : nil
    }

    /// Why there is just no place.
    var rejection: CallFailure { self.places.rejection }
}

extension ServiceLoop {
    /// Adds parts of imports to the open batch, behind the commands of other calls. Once a tick.
    ///
    /// A batch takes half of what may be in flight: the next half is cut while it is in the log.
    func submitImportParts() {
        if !self.batch.isEmpty { self.partition?.pipeline.noteCalls() }
        guard !self.imports.waiting.isEmpty, let pipeline = self.partition?.pipeline else { return }
        let limits = self.streamLimits
        let isBeside = self.imports.isBesideCalls(pipeline, yieldBatches: limits.importYieldBatches)
        let inFlightMax =
            isBeside ? limits.importPartsBesideCallsMax : limits.importPartsInFlightMax
        let before = self.imports.partsInFlight
        let end = min(inFlightMax, before + max(1, inFlightMax / 2))
        var blocked: [CallToken] = []
        while self.imports.partsInFlight < end, !self.imports.waiting.isEmpty {
            let token = self.imports.waiting.removeFirst()
            guard let call = self.liveCalls[token] as? ImportCall else { continue }
            switch call.submitNextPart() {
            case .done: break
            case .more: self.imports.waiting.append(token)
            case .blocked: blocked.append(token)
            }
        }
        if self.imports.partsInFlight > before { self.imports.noteBatch() }
        if !self.imports.waiting.isEmpty, self.imports.partsInFlight < inFlightMax {
            self.transport.wake()
        }
        self.imports.waiting += blocked
    }

    /// Hands a part of an import that came back from the log to its call.
    func respondToImport(
        _ slot: BatchSlot, of batch: LogBatch, _ ended: inout ItemOutcomes
    ) {
        self.imports.partsInFlight -= 1
        ended.add(self.outcomes(ofPart: slot, of: batch))
        // The call may have ended meanwhile; its parts are durable all the same.
        self.liveCalls[slot.token]?.complete(slot, of: batch)
    }

    /// How the items of a part ended; of a validation there are none.
    private func outcomes(ofPart slot: BatchSlot, of batch: LogBatch) -> ItemOutcomes {
        var outcomes = ItemOutcomes()
        guard slot.items > 0 else { return outcomes }
        outcomes.rejected = slot.items
        guard case .none = slot.rejection else { return outcomes }
        var reader = ByteReader(batch.result(of: slot))
        guard let header = ResultHeader(from: &reader), header.rejection == .none,
            let body = ImportResultBody(from: &reader)
        else { return outcomes }
        if self.isAuditing { self.audits.update(slot.token) { $0.lsn = header.lsn } }
        outcomes.stored = body.stored
        outcomes.duplicate = body.duplicate
        outcomes.stale = body.stale
        let left = slot.items - body.stored - body.duplicate - body.stale
        // What was done before the chunk was sent again counts as that.
        if body.skipped > 0 {
            outcomes.duplicate += left
            outcomes.rejected = 0
        } else {
            outcomes.rejected = left
        }
        return outcomes
    }
}
