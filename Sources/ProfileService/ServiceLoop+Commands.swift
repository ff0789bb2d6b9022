import Bytes
import GRPCTransport
import Messages
import Profiles

// The two ends of every write: into the open batch, and out of a batch that came back from the log.
extension ServiceLoop {
    /// Adds a command to the open batch, or refuses the call.
    ///
    /// - Parameters:
    ///   - project: `nil`: there is no such project.
    ///   - items: What the accounting counts: events, attribute writes, subscription changes.
    ///   - write: Appends the record, or says what is wrong with the request and leaves the buffer
    ///     as it was.
    func submit(
        _ call: RPCCall, _ project: ProjectID?, items: Int, in partition: Partition,
        write: (MessageDecoder, inout ByteBuffer) -> Violations
    ) {
        let admission = self.append(
            call.token, project, items: items, isOfStream: false, in: partition, write: write)
        self.settle(admission, of: call, items: items)
    }

    /// Refuses a unary call whose command did not get into the batch.
    func settle(_ admission: CommandAdmission, of call: RPCCall, items: Int) {
        switch admission {
        case .added: break
        case .invalid(let violations):
            self.accounting.add(rejected: items)
            self.reject(call.token, violations: violations)
        case .rejected(let rejection):
            self.accounting.add(rejected: items)
            self.reject(call.token, rejection)
        case .blocked(let until):
            self.accounting.add(rejected: items)
            self.transport.finish(call.token, with: Self.status(ofBlockedUntil: until))
        }
    }

    /// Adds a command to the open batch, if it may.
    ///
    /// - Parameter isOfStream: It waits for room sooner than a unary call is refused.
    func append(
        _ token: CallToken, _ project: ProjectID?, items: Int, isOfStream: Bool,
        in partition: Partition,
        write: (MessageDecoder, inout ByteBuffer) -> Violations
    ) -> CommandAdmission {
        // Looked up once: each look at a property that can change counts a reference.
        let batch = self.batch
        let start = batch.records.count
        let violations = write(self.decoder, &batch.records)
        guard violations.isEmpty else { return .invalid(violations) }
        let bytes = batch.records.count - start
        guard
            let record = RecordView(UnsafeRawBufferPointer(rebasing: batch.records.bytes[start...]))
        else {
            preconditionFailure("a record of this process is whole")
        }
        if let until = partition.store.blockedUntil(record, now: self.transport.nowWallMicroseconds)
        {
            self.batch.records.truncate(to: start)
            return .blocked(until: until)
        }
        let rejection =
            project == nil
            ? .projectNotFound : Self.reserve(record, bytes, isOfStream, in: partition.pipeline)
        // Not by `==`, which another module's enum is compared with through a witness.
        guard case .none = rejection else {
            batch.records.truncate(to: start)
            return .rejected(rejection)
        }
        batch.slots.append(
            BatchSlot(
                token: token, recordOffset: start, recordBytes: bytes,
                operations: record.operations, items: items))
        return .added
    }

    /// Reserves the place of a record, unless the store has no room for what it holds.
    private static func reserve(
        _ record: RecordView, _ bytes: Int, _ isOfStream: Bool, in pipeline: CommitPipeline
    ) -> Rejection {
        if pipeline.isMemoryFull, !record.isTakenOverMemoryLimit { return .memoryExhausted }
        return pipeline.reserve(bytes: bytes, isOfStream: isOfStream)
    }

    /// Answers every call of a batch that came back from the log.
    func respondToAll(of batch: LogBatch) {
        // Counted once for all: the counters are shared, and none of these answers has left yet.
        var ended = ItemOutcomes()
        defer {
            self.accounting.add(
                stored: ended.stored, duplicate: ended.duplicate, stale: ended.stale,
                rejected: ended.rejected)
        }
        for slot in batch.slots {
            if slot.ticket != 0 {
                self.respondToItem(slot, of: batch)
                continue
            }
            guard case .none = slot.rejection else {
                ended.rejected += slot.items
                self.reject(slot.token, slot.rejection)
                continue
            }
            var body = ByteReader(batch.result(of: slot))
            guard let header = ResultHeader(from: &body) else {
                preconditionFailure("a result of this process is whole")
            }
            guard case .none = header.rejection else {
                ended.rejected += slot.items
                let context = MessageDecoder.context(ofRejected: header, body: &body)
                self.transport.finish(slot.token, with: Self.status(of: header.rejection, context))
                continue
            }
            self.response.removeAll()
            ended.add(self.encode(header, &body, slot))
            self.transport.respond(to: slot.token, message: self.response.bytes)
        }
    }

    /// Appends the answer of a command that was carried out, and says how its items ended.
    func encode(_ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot) -> ItemOutcomes
    {
        switch header.kind {
        case .track: self.encodeTrack(header, &body, slot)
        case .identify: self.encodeIdentify(header, &body)
        case .updateSubscription, .confirmSubscription, .redeemUnsubscribe, .addSuppression,
            .removeSuppression:
            self.encodeConsent(header, &body)
        case .batch: self.encodeBatch(header, &body, slot)
        case .updateProject: self.encodeUpdateProject(&body)
        case .erase: self.encodeErase(header, &body)
        case .genesis, .tick:
            preconditionFailure("no call has such a result")
        }
    }
}

/// What became of a command on its way into the open batch; the accounting is the caller's.
enum CommandAdmission {
    case added
    case invalid(Violations)
    case rejected(Rejection)
    /// It names an identifier that is blocked until then, in microseconds.
    case blocked(until: Int64)
}
