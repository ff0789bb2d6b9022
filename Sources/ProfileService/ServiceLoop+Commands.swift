import Bytes
import GRPCTransport
import Messages
import Profiles

/// What became of a command on its way into the open batch; the accounting is the caller's.
enum CommandAdmission {
    case added
    case rejected(Rejection)
    /// It names an identifier that is blocked until then, in microseconds since 1970.
    case blocked(until: Int64)
    /// Its key has used up its operations per second; it may be tried again after so long.
    case overQuota(maximum: UInt32, waitNanoseconds: UInt64)

    /// What the call is told; `nil`: the command was added.
    var failure: CallFailure? {
        switch self {
        case .added: nil
        case .rejected(let rejection): .notAdmitted(rejection)
        case .blocked(let until): .blocked(until: until)
        case .overQuota(let maximum, let wait):
            .quotaExceeded("updates_per_second_max", maximum: maximum, waitNanoseconds: wait)
        }
    }
}

// The two ends of every write: into the open batch, and out of a batch that came back from the log.
extension ServiceLoop {
    /// Adds a write whose payload the decoder packed.
    func append(
        _ write: DecodedWrite, _ context: RequestContext, isOfStream: Bool = false
    ) -> CommandAdmission {
        self.append(
            write.kind, operations: write.operations, items: write.itemCount, context,
            isOfStream: isOfStream, updates: write.updates
        ) {
            self.decoder.writePayload(of: write, project: context.project, into: &$0)
        }
    }

    /// Adds a command of one operation, or rejects the call.
    ///
    /// - Returns: Whether it was added.
    @discardableResult
    func submit(
        _ kind: RecordKind, items: Int, _ context: RequestContext,
        writing: (inout ByteBuffer) -> Void
    ) -> Bool {
        let admission = self.append(
            kind, operations: 1, items: items, context, isOfStream: false, writing: writing)
        self.settle(admission, of: context, items: items)
        if case .added = admission { return true }
        return false
    }

    /// Rejects a unary call whose command did not get into the batch.
    @inline(__always)
    func settle(_ admission: CommandAdmission, of context: RequestContext, items: Int) {
        if case .added = admission { return }
        guard let failure = admission.failure else { return }
        if case .overQuota = admission { self.access.metrics.addUpdateQuotaRejection() }
        self.reject(context, failure, items: items)
    }

    /// Adds a command to the open batch, if it may.
    ///
    /// - Parameters:
    ///   - items: What the accounting counts.
    ///   - isOfStream: It waits for headroom sooner than a unary call is rejected.
    ///   - updates: What the quota of its key counts.
    ///   - writing: Appends the payload of the record.
    @inline(__always)
    func append(
        _ kind: RecordKind, operations: Int, items: Int, _ context: RequestContext,
        isOfStream: Bool, updates: Int = 1, writing: (inout ByteBuffer) -> Void
    ) -> CommandAdmission {
        // Read once: each access to a property that can change counts a reference.
        let batch = self.batch
        let start = beginRecord(kind, in: &batch.records)
        writing(&batch.records)
        endRecord(at: start, operations: operations, in: &batch.records)
        let bytes = batch.records.count - start
        guard
            let record = RecordView(UnsafeRawBufferPointer(rebasing: batch.records.bytes[start...]))
        else {
            preconditionFailure("a record of this process is whole")
        }
        // SAFETY: the loop keeps its partition. Counting references to it, its store and its
        // pipeline took six atomic operations a call.
        let partition = Unmanaged.passUnretained(context.partition)
        let until = partition._withUnsafeGuaranteedRef {
            $0.store.blockedUntil(record, now: self.transport.nowWallMicroseconds)
        }
        if let until {
            batch.records.truncate(to: start)
            return .blocked(until: until)
        }
        let rejection = partition._withUnsafeGuaranteedRef {
            Self.reserve(record, bytes, isOfStream, in: $0)
        }
        // Not by `==`, which compares another module's enum through a witness.
        guard case .none = rejection else {
            batch.records.truncate(to: start)
            return .rejected(rejection)
        }
        // Last: what is rejected for another reason, or waits for headroom, takes no token.
        if let overQuota = self.takeTokens(for: updates, of: context.token) {
            batch.records.truncate(to: start)
            partition._withUnsafeGuaranteedRef { $0.pipeline.release(commands: 1, bytes: bytes) }
            return overQuota
        }
        batch.slots.append(
            BatchSlot(
                token: context.token, project: context.project, recordOffset: start,
                recordBytes: bytes, operations: record.operations, items: items))
        if self.isAuditing { self.noteCommandAdded(of: context.token) }
        return .added
    }

    /// Reserves headroom for a record, unless the store has none for what it holds.
    private static func reserve(
        _ record: RecordView, _ bytes: Int, _ isOfStream: Bool, in partition: Partition
    ) -> Rejection {
        if partition.pipeline.isMemoryFull, !partition.store.takesOverMemoryLimit(record) {
            return .memoryExhausted
        }
        return partition.pipeline.reserve(bytes: bytes, isOfStream: isOfStream)
    }

    // MARK: Out of the log

    /// Responds to every call of a batch that came back from the log.
    func respondToAll(of batch: LogBatch) {
        // Counted once for each run of a project: the counters are shared, and none of these
        // responses has left yet.
        var ended = ItemOutcomes()
        var project = batch.slots.first?.project ?? ProjectID(rawValue: 0)
        defer { self.count(ended, of: project) }
        self.returnedSecrets = batch.secrets
        defer { self.returnedSecrets = nil }
        if self.isObserving { self.observation?.phases = batch.times.phases }
        defer { if self.isObserving { self.observation?.phases = nil } }
        for slot in batch.slots {
            #if CANARIES
                if Canary.responseLost.isActive, slot.resultOffset > 0 { continue }
            #endif
            if slot.project.rawValue != project.rawValue {
                self.count(ended, of: project)
                (ended, project) = (ItemOutcomes(), slot.project)
            }
            if self.isAuditing { self.noteCommandBack(of: slot.token) }
            self.respond(to: slot, of: batch, &ended)
            // A batch may have thousands of responses, each with a whole profile.
            self.transport.relieveResponses()
            if self.isAuditing { self.recordSettled(slot.token) }
        }
    }

    /// Responds to the call of one command.
    @inline(__always)
    private func respond(to slot: BatchSlot, of batch: LogBatch, _ ended: inout ItemOutcomes) {
        if slot.ticket != 0 {
            return slot.isImportPart
                ? self.respondToImport(slot, of: batch, &ended)
                : self.respondToItem(slot, of: batch, &ended)
        }
        guard case .none = slot.rejection else {
            ended.rejected += slot.items
            return self.reject(slot.token, .notAdmitted(slot.rejection))
        }
        var body = ByteReader(batch.result(of: slot))
        guard let header = ResultHeader(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        guard case .none = header.rejection else {
            ended.rejected += slot.items
            let context = ErrorContext(ofRejected: header, body: &body)
            return self.reject(slot.token, .rejected(header.rejection, context))
        }
        self.respond(to: slot, header, &body, &ended)
    }

    /// Writes the response to a unary call into its stream.
    @inline(__always)
    private func respond(
        to slot: BatchSlot, _ header: ResultHeader, _ body: inout ByteReader,
        _ ended: inout ItemOutcomes
    ) {
        var outcomes: ItemOutcomes?
        self.transport.respond(to: slot.token) {
            outcomes = self.encode(header, &body, slot, into: &$0)
        }
        guard let outcomes else {
            // The call has ended: its items count all the same, but a secret stays where it is.
            let secrets = self.returnedSecrets
            self.returnedSecrets = nil
            defer { self.returnedSecrets = secrets }
            self.response.removeAll()
            ended.add(self.encode(header, &body, slot, into: &self.response))
            return
        }
        ended.add(outcomes)
    }

    /// Responds to a request of a stream that came back from the log.
    private func respondToItem(
        _ slot: BatchSlot, of batch: LogBatch, _ ended: inout ItemOutcomes
    ) {
        self.response.removeAll()
        ended.add(self.encodeItem(slot, of: batch))
        // The call may have ended meanwhile; its commands are durable all the same.
        self.liveCalls[slot.token]?.complete(slot.ticket, with: self.response.bytes)
    }

    /// Encodes the response to a request of a stream into `response`.
    private func encodeItem(_ slot: BatchSlot, of batch: LogBatch) -> ItemOutcomes {
        var rejected = ItemOutcomes()
        rejected.rejected = slot.items
        guard case .none = slot.rejection else {
            self.encodeTrackFailure(.notAdmitted(slot.rejection), sequence: slot.sequence)
            return rejected
        }
        var body = ByteReader(batch.result(of: slot))
        guard let header = ResultHeader(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        guard case .none = header.rejection else {
            let context = ErrorContext(ofRejected: header, body: &body)
            self.encodeTrackFailure(.rejected(header.rejection, context), sequence: slot.sequence)
            return rejected
        }
        return self.encode(header, &body, slot, into: &self.response)
    }

    /// Encodes the response to a failed request of a stream into `response`.
    func encodeTrackFailure(_ failure: CallFailure, sequence: UInt64) {
        MessageEncoder.encodeTrackFailure(
            StatusMapping.itemError(of: failure), sequence: sequence, into: &self.response)
    }

    /// Appends the response to a command that was carried out, and returns how its items ended.
    @inline(__always)
    private func encode(
        _ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        if self.isAuditing { self.audits.update(slot.token) { $0.lsn = header.lsn } }
        if case .track = header.kind {
            return self.encoder.encodeTrackResponse(
                header, body: &body, sequence: slot.sequence, into: &output)
        }
        return self.encodeOther(header, &body, slot, into: &output)
    }

    private func encodeOther(
        _ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        switch header.kind {
        case .track, .genesis, .tick, .importPart: preconditionFailure("no such result comes here")
        case .identify:
            let image = self.readImage(ofResult: body, in: slot.project)
            return self.encoder.encodeIdentifyResponse(
                header, body: &body, image: image, into: &output)
        case .updateSubscription:
            return self.encoder.encodeUpdateSubscriptionResponse(
                header, body: &body, into: &output)
        case .confirmSubscription:
            return self.encoder.encodeConfirmSubscriptionResponse(
                header, body: &body, into: &output)
        case .redeemUnsubscribe:
            return self.encoder.encodeRedeemUnsubscribeTokenResponse(
                header, body: &body, into: &output)
        case .addSuppression, .removeSuppression:
            return self.encoder.encodeSuppressionResponse(header, body: &body, into: &output)
        case .batch: return self.encodeBatch(header, &body, slot, into: &output)
        case .createProject, .updateProject:
            self.encodeProject(&body, into: &output)
            return ItemOutcomes()
        case .deleteProject:
            self.encodeDeleteProject(&body, into: &output)
            return ItemOutcomes()
        case .createKey:
            self.encodeCreateKey(header, &body, slot, into: &output)
            return ItemOutcomes()
        // The response has no fields.
        case .revokeKey: return ItemOutcomes()
        case .createTrigger:
            self.encoder.encodeCreateTriggerResponse(header, body: &body, into: &output)
            return ItemOutcomes()
        case .deleteTrigger:
            self.encoder.encodeDeleteTriggerResponse(header, into: &output)
            return ItemOutcomes()
        // A stream settles firings, and no call waits for it.
        case .settleFirings: return ItemOutcomes()
        case .erase:
            self.encoder.encodeEraseProfileResponse(header, body: &body, into: &output)
            return ItemOutcomes()
        case .detach:
            self.encoder.encodeDetachInstallationResponse(header, body: &body, into: &output)
            return ItemOutcomes()
        case .merge:
            let image = self.readImage(ofResult: body, in: slot.project)
            self.encoder.encodeMergeProfilesResponse(
                header, body: &body, image: image, into: &output)
            return ItemOutcomes()
        case .unmerge:
            self.encodeUnmerge(header, &body, slot, into: &output)
            return ItemOutcomes()
        }
    }

    /// Appends the response to an un-merge, which shows two profiles.
    private func encodeUnmerge(
        _ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot,
        into output: inout ByteBuffer
    ) {
        var restored = body
        _ = restored.read(count: ProfileID.binaryBytes)
        let image = self.readImage(ofResult: body, in: slot.project)
        // Both images are of one buffer, which may move when the second is appended.
        let firstBytes = self.image.count
        let isFirst = image != nil
        self.appendImage(ofResult: restored, in: slot.project)
        let bytes = self.image.bytes
        self.encoder.encodeUnmergeProfileResponse(
            header, body: &body,
            image: isFirst ? ProfileImage(bytes) : nil,
            restored: ProfileImage(UnsafeRawBufferPointer(rebasing: bytes[firstBytes...])),
            into: &output)
    }

    /// Appends the response to a batch that was carried out.
    private func encodeBatch(
        _ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        var outcomes = ItemOutcomes()
        let start = output.count
        for _ in 0 ..< body.read(UInt16.self) {
            var item = body
            guard let inner = ResultHeader(from: &item) else {
                preconditionFailure("a result of this process is whole")
            }
            let bytes = body.read(count: inner.totalBytes)
            var result = ByteReader(bytes)
            _ = result.read(count: ResultHeader.bytes)
            let showsDetail = output.count - start < MessageEncoder.batchDetailBytesMax
            var image: ProfileImage?
            if showsDetail, inner.kind == .identify, inner.rejection == .none {
                image = self.readImage(ofResult: result, in: slot.project)
            }
            outcomes.add(
                self.encoder.appendBatchResult(
                    inner, body: &result, image: image, showsDetail: showsDetail,
                    isReplay: header.flags.contains(.replayed), into: &output))
        }
        // Results of rejected writes do not say how many items they had.
        outcomes.rejected = slot.items - outcomes.stored - outcomes.duplicate - outcomes.stale
        self.encoder.endBatchResponse(header, into: &output)
        return outcomes
    }

    /// The profile whose id a result begins with, as it is now; valid until the next read.
    private func readImage(ofResult body: ByteReader, in project: ProjectID) -> ProfileImage? {
        self.image.removeAll()
        self.appendImage(ofResult: body, in: project)
        return ProfileImage(self.image.bytes)
    }

    /// Appends it behind the images that were read before; nothing if it is gone.
    private func appendImage(ofResult body: ByteReader, in project: ProjectID) {
        var body = body
        let id = body.read(count: ProfileID.binaryBytes)
        guard let reference = self.partitionReference else { return }
        reference._withUnsafeGuaranteedRef { partition in
            _ = partition.store.read(
                project: project,
                identifier: IdentifierView(kind: .profileID, bytes: id),
                now: self.transport.nowWallMicroseconds, into: &self.image)
        }
    }
}
