import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// One request of a TrackStream.
    func trackStream(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        let stream = self.openStream(call)
        if !self.takeTrack(message, of: stream, in: partition) {
            stream.postponed = Array(message)
            stream.machine.postpone()
            self.postponed.append(stream)
        }
        self.advance(stream)
    }

    /// Adds a request to the open batch, or answers what is wrong with it.
    ///
    /// - Returns: Whether it is taken; false: the log is behind.
    func takeTrack(
        _ message: UnsafeRawBufferPointer, of stream: ServiceStream, in partition: Partition
    ) -> Bool {
        switch self.decoder.decodeTrack(message) {
        case .message(let track):
            let sequence = track.sequence
            // The ticket is taken with the place in the log: a request that has to wait has none.
            switch self.append(track, for: stream, in: partition) {
            case .added: return true
            case .invalid(let violations):
                self.accounting.add(rejected: track.eventCount)
                self.fail(
                    stream, Self.status(of: .invalidFields, ErrorContext(violations: violations)),
                    sequence)
            case .refused(.rateExceeded): return false
            case .refused(let refusal):
                self.accounting.add(rejected: track.eventCount)
                self.fail(stream, Self.status(ofRefused: refusal), sequence)
            case .blocked(let until):
                self.accounting.add(rejected: track.eventCount)
                self.fail(stream, Self.status(ofBlockedUntil: until), sequence)
            }
        case .invalid(let violations):
            self.fail(
                stream, Self.status(of: .invalidFields, ErrorContext(violations: violations)),
                MessageDecoder.sequence(ofTrack: message))
        case .tooLarge:
            self.fail(
                stream, Self.status(of: .memoryExhausted), MessageDecoder.sequence(ofTrack: message)
            )
        case .malformed(let found):
            // What follows may be cut wrongly too: the stream ends, after the answers to what came
            // before.
            self.transport.pauseRequests(of: stream.token)
            stream.machine.end(with: Self.status(ofMalformed: found))
        }
        return true
    }

    private func append(_ track: DecodedTrack, for stream: ServiceStream, in partition: Partition)
        -> CommandAdmission
    {
        let admission = self.append(track, token: stream.token, isOfStream: true, in: partition)
        guard case .added = admission else { return admission }
        let last = self.batch.slots.count - 1
        self.batch.slots[last].sequence = track.sequence
        self.batch.slots[last].ticket = stream.machine.answers.begin()
        return admission
    }

    /// Answers a request that did not get to the log; it waits for its turn behind those that did.
    private func fail(_ stream: ServiceStream, _ status: RPCStatus, _ sequence: UInt64) {
        self.answer.removeAll()
        MessageDecoder.encodeTrackFailure(status.details, sequence: sequence, into: &self.answer)
        self.reply(to: stream.machine.answers.begin(), of: stream, with: self.answer.bytes)
    }

    /// Answers a request of a stream that came back from the log.
    func answerItem(_ slot: BatchSlot, of batch: LogBatch) {
        self.answer.removeAll()
        self.encodeItem(slot, of: batch)
        // The call may have ended meanwhile; its commands are durable all the same.
        guard let stream = self.stream(of: slot.token) else { return }
        self.reply(to: slot.ticket, of: stream, with: self.answer.bytes)
        self.advance(stream)
    }

    private func encodeItem(_ slot: BatchSlot, of batch: LogBatch) {
        guard slot.refusal == .none else {
            self.accounting.add(rejected: slot.items)
            let status = Self.status(ofRefused: slot.refusal)
            return MessageDecoder.encodeTrackFailure(
                status.details, sequence: slot.sequence, into: &self.answer)
        }
        var body = ByteReader(batch.result(of: slot))
        guard let header = ResultHeader(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        guard header.refusal == .none else {
            self.accounting.add(rejected: slot.items)
            let context = MessageDecoder.context(ofRefused: header, body: &body)
            let status = Self.status(of: header.refusal, context)
            return MessageDecoder.encodeTrackFailure(
                status.details, sequence: slot.sequence, into: &self.answer)
        }
        let fates = self.encode(header, &body, slot)
        self.accounting.add(
            stored: fates.stored, duplicate: fates.duplicate, stale: fates.stale,
            rejected: fates.rejected)
    }
}
