import GRPCTransport
import Messages

// Snapshots and backups: asked for here, made elsewhere (`OperatorCoordinator`), answered here.

/// The end of a backup's call whose client had no room for the last message.
struct UnsentEnd {
    var token: CallToken
    var progress: BackupProgress
}

extension ServiceLoop {
    func createSnapshot(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        self.withMessage(self.decoder.decodeCreateSnapshot(message), of: call) {
            guard let coordinator = self.coordinator(of: call, in: partition) else { return }
            coordinator.snapshot(for: call.token)
        }
    }

    func backUp(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeBackup(message), of: call) { destination in
            guard let coordinator = self.coordinator(of: call, in: partition) else { return }
            if let failure = coordinator.backUp(to: destination, for: call.token) {
                self.transport.finish(call.token, with: Self.status(of: failure))
            }
        }
    }

    /// Only tests have partitions without files, and so without a desk.
    private func coordinator(of call: RPCCall, in partition: Partition) -> OperatorCoordinator? {
        if partition.coordinator == nil {
            self.transport.finish(
                call.token, with: RPCStatus(.unimplemented, "this server has no files"))
        }
        return partition.coordinator
    }

    /// Tells clients what has come of their calls; those of calls that have ended meanwhile find
    /// nobody.
    func respondToOperators() {
        for report in self.mailbox.takeReports() where self.transport.isOpen(report.token) {
            self.response.removeAll()
            switch report.event {
            case .snapshot(let lsn, let bytes):
                self.decoder.encodeCreateSnapshotResponse(
                    lsn: lsn, bytes: bytes, into: &self.response)
                self.transport.respond(to: report.token, message: self.response.bytes)
            case .progress(let progress):
                self.decoder.encodeBackupResponse(progress, into: &self.response)
                // A client that does not read misses some: the next says more.
                _ = self.transport.send(self.response.bytes, to: report.token)
            case .backup(let progress):
                self.endBackup(UnsentEnd(token: report.token, progress: progress))
            case .failed(let failure):
                self.transport.finish(report.token, with: Self.status(of: failure))
            }
        }
    }

    private func endBackup(_ end: UnsentEnd) {
        self.response.removeAll()
        self.decoder.encodeBackupResponse(end.progress, into: &self.response)
        switch self.transport.send(self.response.bytes, to: end.token) {
        case .sent: self.transport.finish(end.token, with: RPCStatus(.ok, ""))
        case .full: self.unsentEnds.append(end)
        case .gone: break
        }
    }

    /// Sends the last message of a backup whose client has room now.
    func retryEnd(of token: CallToken) {
        guard let index = self.unsentEnds.firstIndex(where: { $0.token == token }) else { return }
        self.endBackup(self.unsentEnds.remove(at: index))
    }

    /// Forgets a call that has ended, or is about to: its backup is given up.
    func forgetOperator(_ token: CallToken) {
        self.unsentEnds.removeAll { $0.token == token }
        self.partition?.coordinator?.cancel(token)
    }

    private static func status(of failure: OperatorFailure) -> RPCStatus {
        switch failure {
        case .diskFull: return self.status(ofRejected: .diskFull)
        case .logUnavailable: return self.status(of: .logUnavailable)
        case .draining: return self.status(ofRejected: .draining)
        case .cancelled: return RPCStatus(.cancelled, "the backup was given up")
        case .busy:
            return self.status(
                of: .rateExceeded,
                ErrorContext(
                    metadata: [("limit", "backups"), ("maximum", "1")], retrySeconds: 1,
                    message: "another backup runs; one at a time"))
        case .tooMany:
            return self.status(
                of: .rateExceeded,
                ErrorContext(
                    metadata: [("limit", "snapshot_requests")], retrySeconds: 1,
                    message: "too many calls wait for a snapshot"))
        case .destination(let found):
            var violations = Violations()
            violations.add(Violation(path: "destination", description: found))
            return self.status(of: .invalidFields, ErrorContext(violations: violations))
        case .unexpected(let found): return RPCStatus(.internalError, found)
        }
    }
}
