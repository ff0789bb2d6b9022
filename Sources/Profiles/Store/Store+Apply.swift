import Bytes

// SAFETY: `state`, `work` and `changes` are one element each that `Store` owns; only the applier,
// which runs this file, follows them.

/// A record that this release cannot understand: the start is rejected with it.
package enum ApplyError: Error, Equatable {
    /// A kind of record that this release does not know.
    case unknownKind(UInt8, lsn: UInt64)
    /// A version of a known kind that this release does not know.
    case unknownVersion(UInt8, lsn: UInt64)
    /// The frame was written by a release with newer rules: applying it by these would give another
    /// state.
    case newerRules(UInt32, lsn: UInt64)
    /// The payload does not match its kind.
    case malformed(lsn: UInt64)
    /// A genesis other than the store's, or not at the beginning.
    case foreignGenesis(lsn: UInt64)
    /// `receivedAt` is before that of an earlier record, or the lsn is not after it.
    case outOfOrder(lsn: UInt64)
}

extension Store {
    /// Carries out one record and appends its one result.
    ///
    /// Deterministic: reads the record, the two numbers and the state, nothing else. Only the
    /// applier calls it.
    ///
    /// - Parameters:
    ///   - firstLSN: Of the record's first operation; the call's lsn is
    ///     `firstLSN + operations - 1`.
    ///   - receivedAt: Of the call, in microseconds since 1970; never before that of an earlier
    ///     record.
    ///   - clock: The machine's clock that the frame records; `nil`: it is `receivedAt`.
    ///   - results: Gets one result: a `ResultHeader` and the body of its kind.
    /// - Throws: `ApplyError`; nothing has changed then, and nothing was appended.
    /// - Complexity: O(bytes of the record), but for late events and tables that grow.
    package func apply(
        _ record: RecordView, firstLSN: UInt64, receivedAt: Int64, clock: Int64? = nil,
        rulesVersion: UInt32 = Store.rulesVersion, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard rulesVersion <= self.newestRules else {
            throw .newerRules(rulesVersion, lsn: firstLSN)
        }
        guard record.version == RecordFormat.version else {
            throw .unknownVersion(record.version, lsn: firstLSN)
        }
        guard let kind = RecordKind(rawValue: record.kind) else {
            throw .unknownKind(record.kind, lsn: firstLSN)
        }
        guard firstLSN > self.countedLSN, receivedAt >= self.state.pointee.lastReceivedAt else {
            throw .outOfOrder(lsn: firstLSN)
        }
        let lsn = firstLSN + UInt64(record.operations) - 1
        let call = CallContext(
            firstLSN: firstLSN, lsn: lsn, receivedAt: receivedAt, clock: clock,
            rules: Rules(version: rulesVersion))
        try self.carryOut(kind, record, call, results: &results)
        self.settleBytes()
        self.state.pointee.lastReceivedAt = receivedAt
        self.publishCounted(lsn)
        self.publishNextTick(self.nextTick(at: call.clock))
    }

    /// Gives a record to the function of its kind.
    @inline(__always)
    private func carryOut(
        _ kind: RecordKind, _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        switch kind {
        case .genesis:
            try self.checkGenesis(record, call)
            self.appendEmptyResult(kind, lsn: call.lsn, into: &results)
        case .tick:
            guard record.payload.count == 0 else { throw .malformed(lsn: call.firstLSN) }
            self.tick(call)
            self.appendEmptyResult(kind, lsn: call.lsn, into: &results)
        case .track:
            try self.track(record, call, results: &results)
        case .identify:
            try self.identify(record, call, results: &results)
        case .updateSubscription:
            try self.updateSubscription(record, call, results: &results)
        case .confirmSubscription:
            try self.confirmSubscription(record, call, results: &results)
        case .redeemUnsubscribe:
            try self.redeemUnsubscribe(record, call, results: &results)
        case .addSuppression, .removeSuppression:
            try self.changeSuppression(record, kind, call, results: &results)
        case .batch:
            try self.batch(record, call, results: &results)
        case .updateProject:
            try self.updateProject(record, call, results: &results)
        case .erase:
            try self.erase(record, call, results: &results)
        case .createProject:
            try self.createProject(record, call, results: &results)
        case .deleteProject:
            try self.deleteProject(record, call, results: &results)
        case .createKey:
            try self.createKey(record, call, results: &results)
        case .revokeKey:
            try self.revokeKey(record, call, results: &results)
        case .createTrigger:
            try self.createTrigger(record, call, results: &results)
        case .deleteTrigger:
            try self.deleteTrigger(record, call, results: &results)
        case .settleFirings:
            try self.settleFirings(record, call, results: &results)
        case .importPart:
            try self.importPart(record, call, results: &results)
        case .merge:
            try self.mergeProfiles(record, call, results: &results)
        case .unmerge:
            try self.unmerge(record, call, results: &results)
        case .detach:
            try self.detach(record, call, results: &results)
        }
    }

    private func checkGenesis(_ record: RecordView, _ call: CallContext) throws(ApplyError) {
        guard self.appliedLSN == 0, (try? Genesis(decoding: record.payload)) == self.genesis else {
            throw .foreignGenesis(lsn: call.firstLSN)
        }
        if call.rules.knowsProjects { self.noteCreation(of: self.project, call) }
    }

    private func appendEmptyResult(_ kind: RecordKind, lsn: UInt64, into results: inout ByteBuffer)
    {
        let start = ResultHeader(rejection: .none, flags: [], kind: kind, lsn: lsn).begin(
            in: &results)
        ResultHeader.end(at: start, in: &results)
    }
}
