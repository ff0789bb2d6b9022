import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

// The response to a message of an import, written rejection by rejection: see BatchEncoder.swift.

extension MessageEncoder {
    /// Bytes of a response beyond which further rejections have no details: clients take 4 MiB by
    /// default.
    private static let importDetailBytesMax = 2 << 20

    /// Appends the response to a chunk whose operations are durable.
    ///
    /// - Parameters:
    ///   - lsn: Of the last operation.
    ///   - isReplayed: Nothing was done this time.
    package func encodeImportResponse(
        to chunk: ImportChunk, _ counts: ImportCounts, lsn: UInt64, isReplayed: Bool,
        into output: inout ByteBuffer
    ) {
        let start = output.count
        self.arena.reset()
        let response = self.arena.make(profiles__v1__import_profiles_response__init)
        response.pointee.applied = UInt64(counts.applied)
        response.pointee.unchanged = UInt64(counts.unchanged)
        response.pointee.rejected = UInt64(counts.rejected)
        response.pointee.lsn = lsn
        response.pointee.rejections_omitted = UInt64(counts.found - counts.rejections.count)
        response.pointee.replayed = isReplayed ? 1 : 0
        chunk.withChunkID { response.pointee.chunk_id = self.arena.string($0) }
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
        for rejection in counts.rejections {
            self.append(
                rejection, of: chunk,
                showsDetail: output.count - start < Self.importDetailBytesMax, into: &output)
        }
    }

    private func append(
        _ rejection: ImportRejection, of chunk: ImportChunk, showsDetail: Bool,
        into output: inout ByteBuffer
    ) {
        self.arena.reset()
        var context = ErrorContext()
        if showsDetail {
            context =
                rejection.kind == nil
                ? ErrorContext(violations: chunk.violations(ofOperation: rejection.index))
                : ErrorContext(of: rejection)
        }
        let message = self.arena.make(profiles__v1__import_rejection__init)
        message.pointee.index = UInt32(rejection.index)
        message.pointee.error = StatusMapping.cStatus(
            of: rejection.rejection, context, in: self.arena)
        // SAFETY: every C message begins with its `ProtobufCMessage`; the arena keeps it.
        let size = protobuf_c_message_get_packed_size(
            UnsafeMutableRawPointer(message).assumingMemoryBound(to: ProtobufCMessage.self))
        // Field 6, length-delimited.
        output.append(UInt8(6 << 3 | 2))
        output.appendVarint(UInt64(size))
        Self.pack(UnsafeMutableRawPointer(message), into: &output)
    }
}

extension ErrorContext {
    /// Of an operation of an import that the state machine rejected.
    fileprivate init(of rejection: ImportRejection) {
        self.init()
        let detail = rejection.detail
        let name =
            switch rejection.kind {
            case .identify: "identify"
            case .track: "track"
            default: "update_subscription"
            }
        let operation = "operations[\(rejection.index)].\(name)"
        switch (rejection.kind, rejection.rejection) {
        case (.track, .timeWindow):
            self.violations.add(
                TrackWindows.violation(index: rejection.item, isLate: rejection.isLate)
                    .below(operation))
        case (.updateSubscription, .invalidFields):
            self.violations.add(
                Violation(
                    path: "\(operation).evidence.reference",
                    description: "missing: the channel of changes[\(rejection.item)] needs a "
                        + "confirmation, and an import cannot ask for one"))
        case (.track, .invalidFields):
            self.violations.add(
                Violation(
                    path: "\(operation).events[\(rejection.item)]",
                    description: StatusMapping.message(of: .invalidFields)))
        case (_, .limitExceeded): self.metadata = [("maximum", String(detail))]
        case (_, .identifierErased) where detail != 0:
            self.init(ofBlockedUntil: Int64(bitPattern: detail))
        default: break
        }
        switch (rejection.kind, rejection.rejection) {
        case (.track, .timeWindow), (.track, .invalidFields),
            (.updateSubscription, .invalidFields), (.updateSubscription, .userUnsubscribed),
            (.updateSubscription, .limitExceeded):
            self.metadata.insert(("index", String(rejection.item)), at: 0)
        default: break
        }
    }
}
