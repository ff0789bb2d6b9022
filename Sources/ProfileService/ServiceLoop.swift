import Bytes
import GRPCTransport
import IOCore
import Messages
import Profiles

/// The RPCs on one loop: decodes, reads the store or adds a command to the open batch, encodes
/// answers.
///
/// Used by the loop's thread only. Budget of a Track or GetProfile in the steady state: no
/// allocation.
package final class ServiceLoop: RPCHandler {
    /// Batches handed over and not yet back; beyond it the open batch goes on growing until one
    /// returns, which makes larger frames, not more memory: the commands in all of them are bounded
    /// by `PipelineLimits`.
    package static let batchesInFlightMax = 8

    let transport: RPCLoop
    let state: ServingState
    let accounting: ItemAccounting
    let decoder = MessageDecoder()
    /// The answer being encoded.
    var response = ByteBuffer(capacity: 64 << 10)
    /// The profile being read.
    var image = ByteBuffer(capacity: 64 << 10)
    /// The batch of this tick.
    var batch: LogBatch
    let streamLimits = StreamLimits()
    /// Open streams whose requests are answered in order, by their slot in the transport.
    var streams: [ServiceStream?] = []
    /// Streams with a request that found no room in the log.
    var postponed: [ServiceStream] = []
    /// Backups that are done and whose clients do not know it yet.
    var unsentEnds: [UnsentEnd] = []
    /// Bytes of answers that wait in `streams`.
    var streamResponseBytes = 0
    private var freeBatches: [LogBatch] = []
    private var finished: [LogBatch] = []
    let mailbox: CompletionMailbox
    /// Kept once the partition is recovered.
    private var partitionCell: Partition?
    private var knownPartition: Unmanaged<Partition>?

    package init(
        index: Int, transport: RPCLoop, state: ServingState, accounting: ItemAccounting,
        mailbox: CompletionMailbox
    ) {
        self.transport = transport
        self.state = state
        self.accounting = accounting
        self.mailbox = mailbox
        self.batch = LogBatch(loop: index)
        self.freeBatches.reserveCapacity(Self.batchesInFlightMax)
        for _ in 0 ..< Self.batchesInFlightMax { self.freeBatches.append(LogBatch(loop: index)) }
        self.finished.reserveCapacity(Self.batchesInFlightMax)
    }

    /// The partition that the calls go to; `nil` while it is being recovered.
    var partition: Partition? { self.partitionReference?.takeUnretainedValue() }

    /// As above, to be looked at without counting a reference.
    private var partitionReference: Unmanaged<Partition>? {
        if let partition = self.knownPartition { return partition }
        self.partitionCell = self.state.partition
        // SAFETY: `partitionCell` keeps it and never changes again.
        self.knownPartition = self.partitionCell.map { Unmanaged.passUnretained($0) }
        return self.knownPartition
    }

    package func admit(_ call: RPCCall) -> RPCStatus? {
        if RPCCatalogue.all[call.method].operation == .unbuilt {
            return RPCStatus(.unimplemented, "this RPC is not built yet")
        }
        switch self.state.phase {
        case .serving: return nil
        case .replaying: return Self.status(of: .replaying)
        case .draining: return Self.status(of: .draining)
        }
    }

    package func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        if RPCCatalogue.all[call.method].operation == .reflection {
            return self.reflect(message, of: call)
        }
        guard let partition = self.partitionReference else {
            self.transport.finish(call.token, with: Self.status(of: .replaying))
            return
        }
        partition._withUnsafeGuaranteedRef { self.receive(message, of: call, in: $0) }
    }

    private func receive(
        _ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition
    ) {
        switch RPCCatalogue.all[call.method].operation {
        case .batchWrite: self.batchWrite(message, of: call, in: partition)
        case .identify: self.identify(message, of: call, in: partition)
        case .track: self.track(message, of: call, in: partition)
        case .trackStream: self.trackStream(message, of: call, in: partition)
        case .getProfile: self.getProfile(message, of: call, in: partition)
        case .batchGetProfiles: self.batchGetProfiles(message, of: call, in: partition)
        case .listEvents: self.listEvents(message, of: call, in: partition)
        case .lookupProfiles: self.lookupProfiles(message, of: call, in: partition)
        case .updateSubscription: self.updateSubscription(message, of: call, in: partition)
        case .confirmSubscription: self.confirmSubscription(message, of: call, in: partition)
        case .addSuppression: self.addSuppression(message, of: call, in: partition)
        case .removeSuppression: self.removeSuppression(message, of: call, in: partition)
        case .checkSendable: self.checkSendable(message, of: call, in: partition)
        case .createUnsubscribeToken: self.createUnsubscribeToken(message, of: call, in: partition)
        case .redeemUnsubscribeToken: self.redeemUnsubscribeToken(message, of: call, in: partition)
        case .listConsentHistory: self.listConsentHistory(message, of: call, in: partition)
        case .verifyConsentLedger: self.verifyConsentLedger(message, of: call, in: partition)
        case .getProject: self.getProject(message, of: call, in: partition)
        case .listProjects: self.listProjects(message, of: call, in: partition)
        case .updateProject: self.updateProject(message, of: call, in: partition)
        case .createSnapshot: self.createSnapshot(message, of: call, in: partition)
        case .backup: self.backUp(message, of: call, in: partition)
        case .eraseProfile: self.eraseProfile(message, of: call, in: partition)
        case .unbuilt, .reflection:
            self.transport.finish(
                call.token, with: RPCStatus(.unimplemented, "this RPC is not built yet"))
        }
    }

    package func cancelled(_ token: CallToken) {
        // A command of this tick is taken out in `beforeSleep`; a later one is durable, and its
        // answer finds a dead token.
        if let stream = self.stream(of: token) { return self.forget(stream) }
        self.forgetOperator(token)
    }

    package func beforeSleep() {
        if let partition = self.partitionCell { self.retryPostponed(in: partition) }
        guard let partition = self.partitionCell, !self.batch.isEmpty,
            let next = self.freeBatches.popLast()
        else { return }
        let bytesBefore = self.batch.records.count
        let commandsBefore = self.batch.slots.count
        let abandoned = self.batch.removeAll { !self.transport.isOpen($0) }
        partition.pipeline.release(
            commands: commandsBefore - self.batch.slots.count,
            bytes: bytesBefore - self.batch.records.count)
        self.accounting.add(rejected: abandoned)
        guard !self.batch.isEmpty else {
            self.batch.reset()
            self.freeBatches.append(next)
            return
        }
        partition.pipeline.submit(self.batch)
        self.batch = next
    }

    package func woken() {
        self.mailbox.take(into: &self.finished)
        for batch in self.finished {
            self.respondToAll(of: batch)
            batch.reset()
            self.freeBatches.append(batch)
        }
        self.finished.removeAll(keepingCapacity: true)
        self.respondToOperators()
    }
}
