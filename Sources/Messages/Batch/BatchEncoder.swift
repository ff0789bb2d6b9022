import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

// The response to a batch is written result by result, so that 200 of them need the memory of one.
// Protobuf allows it: a repeated field is the sequence of its elements.

extension MessageEncoder {
    /// Bytes of a response beyond which further results leave out profiles and ledger entries,
    /// which can be read: clients take 4 MiB by default, and could not learn that their writes were
    /// carried out.
    package static let batchDetailBytesMax = 2 << 20

    /// Appends the result of one write.
    ///
    /// - Parameters:
    ///   - body: Behind the result's header.
    ///   - image: Of an Identify: the profile as it is now; `nil`: it is not shown.
    ///   - showsDetail: Ledger entries are listed (`batchDetailBytesMax`).
    ///   - isReplay: The whole batch is a replay.
    package func appendBatchResult(
        _ header: ResultHeader, body: inout ByteReader, image: ProfileImage?, showsDetail: Bool,
        isReplay: Bool,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        self.arena.reset()
        let result = self.arena.make(profiles__v1__write_result__init)
        var header = header
        if isReplay { header.flags.insert(.replayed) }
        var outcomes = ItemOutcomes()
        switch header.kind {
        case _ where header.rejection != .none:
            result.pointee.result_case = PROFILES__V1__WRITE_RESULT__RESULT_ERROR
            let context =
                header.kind == .batch
                ? ErrorContext(violations: Violations(packed: body.read(count: body.remaining)))
                : ErrorContext(ofRejected: header, body: &body)
            result.pointee.error = StatusMapping.cStatus(
                of: header.rejection, context, in: self.arena)
        case .identify:
            result.pointee.result_case = PROFILES__V1__WRITE_RESULT__RESULT_IDENTIFY
            (result.pointee.identify, outcomes) = self.identifyResponse(
                header, body: &body, image: image)
        case .track:
            result.pointee.result_case = PROFILES__V1__WRITE_RESULT__RESULT_TRACK
            (result.pointee.track, outcomes) = self.trackResponse(header, body: &body)
        case .updateSubscription:
            result.pointee.result_case = PROFILES__V1__WRITE_RESULT__RESULT_UPDATE_SUBSCRIPTION
            (result.pointee.update_subscription, outcomes) = self.subscriptionResponse(
                header, body: &body)
            if !showsDetail {
                result.pointee.update_subscription.pointee.n_entries = 0
            }
        default: preconditionFailure("a batch has no such item")
        }
        // SAFETY: every C message begins with its `ProtobufCMessage`; the arena keeps it.
        let size = protobuf_c_message_get_packed_size(
            UnsafeMutableRawPointer(result).assumingMemoryBound(to: ProtobufCMessage.self))
        // Field 1, length-delimited.
        output.append(UInt8(1 << 3 | 2))
        output.appendVarint(UInt64(size))
        Self.pack(UnsafeMutableRawPointer(result), into: &output)
        return outcomes
    }

    /// Appends what follows the results.
    package func endBatchResponse(_ header: ResultHeader, into output: inout ByteBuffer) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__batch_write_response__init)
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.flags.contains(.replayed) ? 1 : 0
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

}
