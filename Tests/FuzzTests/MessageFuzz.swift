import Bytes
import Profiles

@testable import Messages

/// Requests as they arrive.
enum MessageFuzz {
    private static let windows = AdvisoryWindows(
        nowMicroseconds: 1_800_000_000_000_000, lateMicroseconds: 86_400_000_000,
        historicalMicroseconds: 86_400_000_000 * 3_650, aheadMicroseconds: 300_000_000)

    private static let roots = [
        WireSchema.shared.trackRequest.index, WireSchema.shared.batchWriteRequest.index,
        WireSchema.shared.updateSubscriptionRequest.index,
        WireSchema.shared.updateProjectRequest.index, WireSchema.shared.eraseProfileRequest.index,
        WireSchema.shared.backupRequest.index, WireSchema.shared.watchRequest.index,
        WireSchema.shared.createTriggerRequest.index,
    ]

    /// The first byte selects the message. What the fast path takes, the whole check must take.
    static func wire(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let message = UnsafeRawBufferPointer(rebasing: bytes[1...])
        let root = self.roots[Int(first) % self.roots.count]
        let verdict = WireCheck.check(message, root: root)
        if WireFastPath.isGood(message, root: root) {
            precondition(verdict == .good, "the fast path takes what the check rejects")
        }
    }

    /// The first byte selects the request.
    static func requests(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let message = UnsafeRawBufferPointer(rebasing: bytes[1...])
        let decoder = MessageDecoder()
        switch first % 23 {
        case 0: self.track(message, decoder)
        case 1: _ = decoder.decodeIdentify(message)
        case 2: _ = decoder.decodeBatch(message, windows: { _ in self.windows })
        case 3: _ = decoder.decodeUpdateSubscription(message)
        case 4: _ = decoder.decodeGetProfile(message)
        case 5: _ = decoder.decodeListEvents(message)
        case 6: _ = decoder.decodeBatchGetProfiles(message)
        case 7: _ = decoder.decodeLookupProfiles(message)
        case 8: _ = decoder.decodeErase(message)
        case 9: _ = decoder.decodeConfirmSubscription(message)
        case 10: _ = decoder.decodeRedeemUnsubscribeToken(message)
        case 11: _ = decoder.decodeAddSuppression(message)
        case 12: _ = decoder.decodeRemoveSuppression(message)
        case 13: _ = decoder.decodeCheckSendable(message)
        case 14: _ = decoder.decodeListConsentHistory(message)
        case 15: _ = decoder.decodeReflection(message)
        case 16: _ = decoder.decodeBackup(message)
        case 17: _ = decoder.decodeWatch(message)
        case 18: _ = decoder.decodeCreateTrigger(message)
        case 19: _ = decoder.decodeListTriggers(message)
        case 20: _ = decoder.decodeDeleteTrigger(message)
        case 21: _ = MessageDecoder.decodeHealthCheck(message)
        default: self.imported(message, decoder)
        }
    }

    /// What a chunk is cut into is understood and adds up; sent again, it is known.
    private static func imported(_ message: UnsafeRawBufferPointer, _ decoder: MessageDecoder) {
        let store = Store(
            genesis: Genesis(
                directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
        for isAgain in [false, true] {
            guard case .message(let request) = decoder.decodeImport(message) else { return }
            var limits = ImportChunk.PartLimits()
            limits.operationsMax = 3
            let chunk = ImportChunk(
                request, project: ProjectID(rawValue: 1),
                eventIDs: store.importEventIDs(chunkID: request.chunkID),
                content: store.importContent(), limits: limits)
            while !chunk.packSlice(with: decoder) {}
            var counts = ImportCounts()
            for part in 0 ..< chunk.partCount {
                let body = self.apply(chunk, part, to: store)
                if let found = body.counts {
                    if chunk.isValidation { counts.add(found) } else { counts = found }
                }
                let skipped = chunk.isValidation || !isAgain ? 0 : chunk.updates(ofPart: part)
                precondition(body.skipped == skipped, "an operation is done twice, or never")
            }
            let sum = counts.applied + counts.unchanged + counts.rejected
            precondition(sum == chunk.operationCount, "counts do not add up")
        }
    }

    private static func apply(
        _ chunk: ImportChunk, _ part: Int, to store: Store
    ) -> ImportResultBody {
        var record = ByteBuffer()
        let start = beginRecord(.importPart, in: &record)
        chunk.writePart(part, into: &record)
        endRecord(at: start, operations: chunk.operations(ofPart: part), in: &record)
        var results = ByteBuffer()
        guard let view = RecordView(record.bytes) else {
            preconditionFailure("a record that was written is not read")
        }
        do throws(ApplyError) {
            try store.apply(
                view, firstLSN: store.appliedLSN + 1, receivedAt: 1_800_000_000_000_000,
                results: &results)
        } catch {
            preconditionFailure("a part of a decoded chunk is malformed")
        }
        var reader = ByteReader(results.bytes)
        guard let header = ResultHeader(from: &reader), header.rejection == .none,
            let body = ImportResultBody(from: &reader)
        else { preconditionFailure("a part of a chunk is rejected") }
        return body
    }

    /// A Track that the plain reader takes is valid for protobuf-c, too.
    private static func track(_ message: UnsafeRawBufferPointer, _ decoder: MessageDecoder) {
        guard
            case .message(let plain) = decoder.decodeTrack(message, windows: { _ in self.windows }),
            plain.isPlain
        else { return }
        let operations = plain.operations
        guard
            case .message(let whole) = decoder.decodeAnyTrack(
                message, windows: { _ in self.windows })
        else { preconditionFailure("the plain reader takes what the decoder rejects") }
        precondition(whole.operations == operations, "the plain reader counts other events")
    }
}
