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
            case .rejected(.rateExceeded): return false
            case .rejected(let rejection):
                self.accounting.add(rejected: track.eventCount)
                self.fail(stream, Self.status(ofRejected: rejection), sequence)
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
        self.batch.slots[last].ticket = stream.machine.responses.begin()
        return admission
    }

    /// Answers a request that did not get to the log; it waits for its turn behind those that did.
    private func fail(_ stream: ServiceStream, _ status: RPCStatus, _ sequence: UInt64) {
        self.response.removeAll()
        MessageDecoder.encodeTrackFailure(status.details, sequence: sequence, into: &self.response)
        self.reply(to: stream.machine.responses.begin(), of: stream, with: self.response.bytes)
    }

    /// Answers a request of a stream that came back from the log.
    func respondToItem(_ slot: BatchSlot, of batch: LogBatch) {
        self.response.removeAll()
        self.encodeItem(slot, of: batch)
        // The call may have ended meanwhile; its commands are durable all the same.
        guard let stream = self.stream(of: slot.token) else { return }
        self.reply(to: slot.ticket, of: stream, with: self.response.bytes)
        self.advance(stream)
    }

    private func encodeItem(_ slot: BatchSlot, of batch: LogBatch) {
        guard slot.rejection == .none else {
            self.accounting.add(rejected: slot.items)
            let status = Self.status(ofRejected: slot.rejection)
            return MessageDecoder.encodeTrackFailure(
                status.details, sequence: slot.sequence, into: &self.response)
        }
        var body = ByteReader(batch.result(of: slot))
        guard let header = ResultHeader(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        guard header.rejection == .none else {
            self.accounting.add(rejected: slot.items)
            let context = MessageDecoder.context(ofRejected: header, body: &body)
            let status = Self.status(of: header.rejection, context)
            return MessageDecoder.encodeTrackFailure(
                status.details, sequence: slot.sequence, into: &self.response)
        }
        let outcomes = self.encode(header, &body, slot)
        self.accounting.add(
            stored: outcomes.stored, duplicate: outcomes.duplicate, stale: outcomes.stale,
            rejected: outcomes.rejected)
    }
}
