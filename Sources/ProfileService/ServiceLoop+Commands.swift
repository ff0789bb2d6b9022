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
    ///   - write: Appends the record, or says what is wrong with the request and leaves the buffer as it was.
    func submit(
        _ call: RPCCall, _ project: ProjectID?, items: Int, in partition: Partition,
        write: (MessageDecoder, inout ByteBuffer) -> Violations
    ) {
        let start = self.batch.records.count
        let violations = write(self.decoder, &self.batch.records)
        guard violations.isEmpty else {
            self.accounting.add(rejected: items)
            return self.refuse(call.token, violations: violations)
        }
        let bytes = self.batch.records.count - start
        let refusal = project == nil ? .projectNotFound : partition.pipeline.reserve(bytes: bytes)
        guard refusal == .none else {
            self.batch.records.truncate(to: start)
            self.accounting.add(rejected: items)
            return self.refuse(call.token, refusal)
        }
        guard let record = RecordView(UnsafeRawBufferPointer(rebasing: self.batch.records.bytes[start...])) else {
            preconditionFailure("a record of this process is whole")
        }
        self.batch.slots.append(BatchSlot(
            token: call.token, recordOffset: start, recordBytes: bytes, operations: record.operations, items: items))
    }

    /// Answers every call of a batch that came back from the log.
    func answerAll(of batch: LogBatch) {
        for slot in batch.slots {
            guard slot.refusal == .none else {
                self.accounting.add(rejected: slot.items)
                self.refuse(slot.token, slot.refusal)
                continue
            }
            var body = ByteReader(batch.result(of: slot))
            guard let header = ResultHeader(from: &body) else {
                preconditionFailure("a result of this process is whole")
            }
            guard header.refusal == .none else {
                self.accounting.add(rejected: slot.items)
                let context = MessageDecoder.context(ofRefused: header, body: &body)
                self.transport.finish(slot.token, with: Self.status(of: header.refusal, context))
                continue
            }
            self.answer.removeAll()
            let fates = self.encode(header, &body, slot)
            self.accounting.add(
                stored: fates.stored, duplicate: fates.duplicate, stale: fates.stale, rejected: fates.rejected)
            self.transport.respond(to: slot.token, message: self.answer.bytes)
        }
    }

    /// Appends the answer of a command that was carried out, and says how its items ended.
    private func encode(_ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot) -> ItemFates {
        switch header.kind {
        case .track: self.encodeTrack(header, &body, slot)
        case .identify: self.encodeIdentify(header, &body)
        case .updateSubscription, .confirmSubscription, .redeemUnsubscribe, .addSuppression, .removeSuppression:
            self.encodeConsent(header, &body)
        case .batch: self.encodeBatch(header, &body, slot)
        case .genesis, .tick, .updateProject:
            preconditionFailure("no call has such a result")
        }
    }
}
