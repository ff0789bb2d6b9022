import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Adds a batch of writes to the open batch of the log as one record, or refuses it.
    func batchWrite(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeBatch(message), of: call) { batch in
            let project = partition.store.findProject(batch.project)
            let windows = self.windows(of: project, in: partition)
            self.submit(call, project, items: batch.itemCount, in: partition) { decoder, records in
                decoder.writeBatch(batch, project: project, windows: windows, into: &records)
            }
        }
    }

    /// Appends the answer of a batch that was carried out.
    func encodeBatch(_ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot)
        -> ItemOutcomes
    {
        var outcomes = ItemOutcomes()
        for _ in 0 ..< body.read(UInt16.self) {
            var item = body
            guard let inner = ResultHeader(from: &item) else {
                preconditionFailure("a result of this process is whole")
            }
            let bytes = body.read(count: inner.totalBytes)
            var result = ByteReader(bytes)
            _ = result.read(count: ResultHeader.bytes)
            var image: ProfileImage?
            if inner.kind == .identify, inner.rejection == .none,
                self.response.count < MessageDecoder.batchDetailBytesMax
            {
                image = self.readImage(ofResult: result)
            }
            let own = self.decoder.appendBatchResult(
                inner, body: &result, image: image, isReplay: header.flags.contains(.replayed),
                into: &self.response)
            outcomes.stored += own.stored
            outcomes.duplicate += own.duplicate
            outcomes.stale += own.stale
            outcomes.rejected += own.rejected
        }
        // What refused writes held does not stand in their results.
        outcomes.rejected = slot.items - outcomes.stored - outcomes.duplicate - outcomes.stale
        self.decoder.endBatchResponse(header, into: &self.response)
        return outcomes
    }
}
