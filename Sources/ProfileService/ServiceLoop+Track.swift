import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Adds a Track to the open batch, or refuses it.
    func track(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        switch self.decoder.decodeTrack(message) {
        case .message(let track): self.add(track, of: call, in: partition)
        case .invalid(let violations): self.refuse(call.token, violations: violations)
        case .malformed(let found): self.refuseMalformed(call.token, found)
        case .tooLarge: self.refuse(call.token, .memoryExhausted)
        }
    }

    private func add(_ track: DecodedTrack, of call: RPCCall, in partition: Partition) {
        let project = partition.store.findProject(track.project)
        let start = self.batch.records.count
        let violations = self.decoder.writeTrack(
            track, project: project, windows: self.windows(of: project, in: partition), into: &self.batch.records)
        guard violations.isEmpty else {
            self.accounting.add(rejected: track.eventCount)
            return self.refuse(call.token, violations: violations)
        }
        let bytes = self.batch.records.count - start
        let refusal = project == nil ? .projectNotFound : partition.pipeline.reserve(bytes: bytes)
        guard refusal == .none else {
            self.batch.records.truncate(to: start)
            self.accounting.add(rejected: track.eventCount)
            return self.refuse(call.token, refusal)
        }
        self.batch.slots.append(BatchSlot(
            token: call.token, recordOffset: start, recordBytes: bytes, operations: track.eventCount,
            items: track.eventCount))
    }

    private func windows(of project: ProjectID?, in partition: Partition) -> AdvisoryWindows {
        let windows = project.flatMap { partition.store.timeWindows(of: $0) }
        return AdvisoryWindows(
            nowMicroseconds: self.transport.nowWallMicroseconds,
            lateMicroseconds: Int64(windows?.lateSeconds ?? 0) * 1_000_000,
            historicalMicroseconds: Int64(windows?.historicalSeconds ?? 0) * 1_000_000,
            aheadMicroseconds: Int64(windows?.aheadSeconds ?? 0) * 1_000_000)
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
            let fates = self.decoder.encodeTrackResponse(
                header, body: &body, sequence: slot.sequence, into: &self.answer)
            self.accounting.add(
                stored: fates.stored, duplicate: fates.duplicate, stale: fates.stale, rejected: fates.rejected)
            self.transport.respond(to: slot.token, message: self.answer.bytes)
        }
    }
}
