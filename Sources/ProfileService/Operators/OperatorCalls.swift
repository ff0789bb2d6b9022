import Bytes
import GRPCTransport
import Messages

// Snapshots and backups: requested here, made elsewhere (`OperatorCoordinator`), reported here.

extension ServiceLoop {
    func createSnapshot(_ context: RequestContext) {
        guard let coordinator = context.partition.coordinator else {
            return self.reject(context.token, .withoutFiles)
        }
        self.liveCalls.add(SnapshotCall(self, context.token))
        coordinator.snapshot(for: context.token)
    }
}

/// A CreateSnapshot whose snapshot is being taken.
final class SnapshotCall: LiveCall {
    let token: CallToken
    // SAFETY: the loop owns its live calls and outlives them: it is not counted per call.
    private unowned(unsafe) let loop: ServiceLoop

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
    }

    func drain() {
        self.loop.close(self.token)
        self.loop.reject(self.token, .rejected(.draining))
    }

    func complete(_ event: OperatorReport.Event) {
        self.loop.close(self.token)
        switch event {
        case .snapshot(let lsn, let bytes):
            self.loop.transport.respond(to: self.token) {
                self.loop.encoder.encodeCreateSnapshotResponse(lsn: lsn, bytes: bytes, into: &$0)
            }
        case .failed(let failure): self.loop.reject(self.token, CallFailure(failure))
        case .progress, .backup: preconditionFailure("a snapshot has no such report")
        }
    }
}

/// The reports of a backup: the newest progress that was not sent, then the end.
final class BackupSource: PullSource {
    private enum Report {
        case none
        /// A client that does not read misses some: the next says more.
        case progress(BackupProgress)
        /// The last message; OK follows.
        case done(BackupProgress)
        case sentAll
        case failed(OperatorFailure)
    }

    private let token: CallToken
    // SAFETY: the loop owns its live calls and outlives them: it is not counted per call.
    private unowned(unsafe) let loop: ServiceLoop
    private var report = Report.none

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
    }

    func receive(_ message: UnsafeRawBufferPointer) -> PullStart {
        switch self.loop.resolve(message, of: self.token, decode: { $0.decoder.decodeBackup($1) }) {
        case .rejected(let failure): return .rejected(failure)
        case .request(let request, let context):
            guard let coordinator = context.partition.coordinator else {
                return .rejected(.withoutFiles)
            }
            guard let failure = coordinator.backUp(to: request.destination, for: self.token) else {
                return .begun
            }
            return .rejected(CallFailure(failure))
        }
    }

    var state: PullState {
        switch self.report {
        case .none: .waiting
        case .progress, .done: .message
        case .sentAll: .ended
        case .failed(let failure): .failed(CallFailure(failure))
        }
    }

    func write(into output: inout ByteBuffer) {
        switch self.report {
        case .progress(let progress):
            self.loop.encoder.encodeBackupResponse(progress, into: &output)
            self.report = .none
        case .done(let progress):
            self.loop.encoder.encodeBackupResponse(progress, into: &output)
            self.report = .sentAll
        case .none, .sentAll, .failed: preconditionFailure("there is no message")
        }
    }

    func complete(_ event: OperatorReport.Event) {
        switch event {
        case .progress(let progress): self.report = .progress(progress)
        case .backup(let progress): self.report = .done(progress)
        case .failed(let failure): self.report = .failed(failure)
        case .snapshot: preconditionFailure("a backup has no such report")
        }
    }

    func abandoned() {
        self.loop.partition?.coordinator?.cancel(self.token)
    }
}

extension CallFailure {
    init(_ failure: OperatorFailure) {
        switch failure {
        case .diskFull: self = .notAdmitted(.diskFull)
        case .logUnavailable: self = .rejected(.logUnavailable)
        case .draining: self = .notAdmitted(.draining)
        case .cancelled: self = .cancelled
        case .busy:
            self = .rejected(
                .rateExceeded,
                ErrorContext(
                    metadata: [("limit", "backups"), ("maximum", "1")], retrySeconds: 1,
                    message: "another backup runs; one at a time"))
        case .tooMany:
            self = .rejected(
                .rateExceeded,
                ErrorContext(
                    metadata: [("limit", "snapshot_requests")], retrySeconds: 1,
                    message: "too many calls wait for a snapshot"))
        case .destination(let found): self = .invalid("destination", found)
        case .unexpected(let found): self = .unexpected(found)
        }
    }
}
