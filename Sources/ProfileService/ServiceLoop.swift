import Bytes
import GRPCTransport
import IOCore
import Messages
import Profiles

/// The RPCs on one loop: decodes, reads the store or adds a command to the open batch, encodes
/// responses.
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
    let access: AccessControl
    /// From a DeleteProject until its project's data goes, in microseconds.
    let projectDeleteDelay: Int64
    /// The project of the last request.
    var projects = ProjectCache()
    /// Who the calls belong to.
    var callers = CallerTable()
    /// Makes the secrets of keys.
    let random: any RandomSource
    /// The secrets of the batch that is responded to.
    var returnedSecrets: NewSecrets?
    /// The call whose request is being decoded, if it has a project's key.
    var keyedRequest: CallToken?
    /// What admission needs to know of the rows, by the number of the method.
    let methods: SlotTable<MethodAdmission>
    /// Calls that will be recorded at their end.
    var audits = AuditDrafts()
    let isAuditing: Bool
    /// Who is told of calls that have ended; `nil`: nobody.
    var observation: LoopObservation?
    let isObserving: Bool
    /// No key is needed.
    let isOpen: Bool
    /// No key is needed and no call recorded.
    private let isUnguarded: Bool
    let decoder = MessageDecoder()
    let encoder = MessageEncoder()
    /// The rows that are served, by the number of the method.
    let table: [RPCDefinition]
    /// A response that cannot be written into its stream yet.
    var response = ByteBuffer(capacity: 64 << 10)
    /// The profile or the events being read.
    var image = ByteBuffer(capacity: 64 << 10)
    /// Copies of stored events, between their lock and `image`.
    var piece = ByteBuffer(capacity: 64 << 10)
    /// The batch of this tick.
    var batch: LogBatch
    let streamLimits: StreamLimits
    /// Open streams and long operations.
    var liveCalls = LiveCalls()
    /// Those that go on in the next tick.
    var continuing = ContinuingCalls()
    /// The sliced read that may go on without headroom for what it keeps; `nil`: none needed to.
    var preferredRead: CallToken?
    /// Imports with parts for the log.
    let imports: ImportQueue
    /// Bytes of responses that wait for an earlier one of their stream, or for its client.
    var streamResponseBytes = 0
    /// Bytes of the requests of streams that wait for headroom in the log.
    var postponedBytes = 0
    let mailbox: CompletionMailbox
    let health: HealthRegistry
    /// Open watches of health, and the version of the registry that they were told of.
    var healthWatches: [PullCall] = []
    var healthVersion: UInt64 = 0
    private var freeBatches: [LogBatch] = []
    private var finished: [LogBatch] = []
    /// Kept once the partition is recovered.
    private var partitionCell: Partition?
    // SAFETY: `partitionCell` keeps the partition as long as the loop.
    private var knownPartition: Unmanaged<Partition>?

    /// - Parameter table: The rows whose descriptors the transport was given, in the same order, or
    ///   with more at its end.
    package init(
        index: Int, transport: RPCLoop, state: ServingState,
        mailbox: CompletionMailbox, health: HealthRegistry,
        random: any RandomSource, access: AccessControl = AccessControl(),
        projectDeleteSeconds: Int = NodeConfiguration.projectDeleteSeconds,
        streamLimits: StreamLimits = StreamLimits(),
        observers: CallObservers = CallObservers(), table: [RPCDefinition] = RPCTable.all
    ) {
        precondition(
            HeaderBytes.bytes < TransportLimits.credentialsBytesMax,
            "credentials that were cut are never those of a key")
        self.transport = transport
        self.state = state
        self.mailbox = mailbox
        self.health = health
        self.access = access
        self.random = random
        self.streamLimits = streamLimits
        self.imports = ImportQueue(importsMax: streamLimits.importStreamsMax)
        self.projectDeleteDelay = Int64(projectDeleteSeconds) * 1_000_000
        self.table = table
        self.isAuditing = access.audit != nil
        self.isObserving = observers.isNeeded
        self.observation =
            observers.isNeeded ? LoopObservation(observers, seed: Self.seed(from: random)) : nil
        self.isOpen = access.isOpen
        self.isUnguarded = access.isOpen && access.audit == nil
        var methods = SlotTable(empty: MethodAdmission())
        for (number, row) in table.enumerated() {
            methods.reach(number)
            methods[number].pointee = MethodAdmission(row)
        }
        self.methods = methods
        self.batch = LogBatch(loop: index)
        self.freeBatches.reserveCapacity(Self.batchesInFlightMax)
        for _ in 0 ..< Self.batchesInFlightMax { self.freeBatches.append(LogBatch(loop: index)) }
        self.finished.reserveCapacity(Self.batchesInFlightMax)
    }

    /// The partition that the calls go to; `nil` while it is being recovered.
    // SAFETY: as of `knownPartition`.
    var partition: Partition? { self.partitionReference?.takeUnretainedValue() }

    /// As above, without counting a reference.
    @inline(__always)
    var partitionReference: Unmanaged<Partition>? {
        self.knownPartition ?? self.recoveredPartition()
    }

    @inline(never)
    private func recoveredPartition() -> Unmanaged<Partition>? {
        self.partitionCell = self.state.partition
        // SAFETY: `partitionCell` keeps it and never changes again.
        self.knownPartition = self.partitionCell.map { Unmanaged.passUnretained($0) }
        return self.knownPartition
    }

    // MARK: What the transport calls

    package func admit(_ call: RPCCall, credentials: UnsafeRawBufferPointer) -> RPCAdmission {
        self.isUnguarded ? self.admitOpen(call) : self.admitGuarded(call, credentials)
    }

    /// Decides on a call that needs no key.
    @inline(__always)
    func admitOpen(_ call: RPCCall) -> RPCAdmission {
        if case .notBuilt = self.table[call.method].handling {
            return .rejected(RPCStatus(.notBuilt))
        }
        if case .health = self.table[call.method].kind { return .accepted }
        switch self.state.phase {
        case .serving: return .accepted
        case .replaying: return .rejected(RPCStatus(.rejected(.replaying)))
        case .draining: return .rejected(RPCStatus(.rejected(.draining)))
        }
    }

    package func callEnded(_ token: CallToken, _ code: RPCStatusCode) {
        self.callers.end(token)
        if self.isAuditing { self.recordEnd(of: token, code) }
    }

    package func connectionClosed(slot: Int) { self.callers.forget(connection: slot) }

    package func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        switch self.table[call.method].handling {
        case .unary(let handle): handle(self, message, call)
        case .stream(_, let open): self.liveCall(of: call, open).receive(message)
        case .notBuilt: self.reject(call.token, .notBuilt)
        }
    }

    package func messageTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        RPCStatus(.messageTooLarge(bytes: bytes, maximum: maximum))
    }

    package func headersTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        RPCStatus(.headersTooLarge(bytes: bytes, maximum: maximum))
    }

    package func tooManyUnfinishedRequests() -> RPCStatus {
        RPCStatus(.tooManyUnfinishedRequests)
    }

    package func requestsEnded(of call: RPCCall) {
        guard case .stream(_, let open) = self.table[call.method].handling else { return }
        self.liveCall(of: call, open).requestsEnded()
    }

    package func requestsFailed(of call: RPCCall, with status: RPCStatus) -> Bool {
        self.liveCalls[call.token]?.requestsFailed(with: status) ?? false
    }

    package func becameWritable(_ token: CallToken) {
        self.liveCalls[token]?.becameWritable()
    }

    package func drain(_ token: CallToken) {
        guard let call = self.liveCalls[token] else {
            // A stream whose first request has not come.
            return self.reject(token, .rejected(.draining))
        }
        call.drain()
    }

    package func cancelled(_ token: CallToken) {
        // A command of this tick is taken out in `beforeSleep`. A later one is durable, and its
        // response is dropped with the dead token.
        guard let call = self.liveCalls[token] else { return }
        self.close(token)
        call.cancelled()
    }

    package func woken() {
        self.mailbox.take(into: &self.finished)
        for batch in self.finished {
            self.respondToAll(of: batch)
            batch.reset()
            self.freeBatches.append(batch)
        }
        self.finished.removeAll(keepingCapacity: true)
        for report in self.mailbox.takeReports() {
            self.liveCalls[report.token]?.complete(report.event)
        }
        for token in self.mailbox.takeReady() { self.liveCalls[token]?.sourceIsReady() }
    }

    package func beforeSleep() {
        self.pushHealth()
        if !self.isOpen { self.endRevokedStreams() }
        self.continueCalls()
        self.submitImportParts()
        guard let partition = self.partitionCell, !self.batch.isEmpty,
            let next = self.freeBatches.popLast()
        else { return }
        let bytesBefore = self.batch.records.count
        let commandsBefore = self.batch.slots.count
        self.batch.removeAll(
            where: { !self.transport.isWaiting($0) },
            onRemoval: { slot in
                if slot.isImportPart { self.imports.partsInFlight -= 1 }
                partition.store.count(ItemCounts(rejected: slot.items), of: slot.project)
                guard self.isAuditing else { return }
                self.noteCommandBack(of: slot.token)
                self.recordSettled(slot.token)
            })
        partition.pipeline.release(
            commands: commandsBefore - self.batch.slots.count,
            bytes: bytesBefore - self.batch.records.count)
        guard !self.batch.isEmpty else {
            self.batch.reset()
            self.freeBatches.append(next)
            return
        }
        self.batch.times.submitted = self.transport.nowNanoseconds
        partition.pipeline.submit(self.batch)
        self.batch = next
    }

    // MARK: Ends of calls that fail. They allocate; nothing here runs for a call that goes well.

    func reject(_ token: CallToken, _ failure: CallFailure) {
        if self.isAuditing, case .rejected(let rejection, _) = failure {
            self.audits.update(token) { $0.reason = rejection.reason }
        }
        self.transport.finish(token, with: RPCStatus(failure))
    }
}

extension RPCStatus {
    /// The transport's status of a failure, whose code `StatusMapping` chooses.
    init(_ failure: CallFailure) {
        let mapped = StatusMapping.status(of: failure)
        self.init(
            RPCStatusCode(rawValue: UInt8(mapped.code)) ?? .unknown, mapped.message,
            details: mapped.details)
    }
}
