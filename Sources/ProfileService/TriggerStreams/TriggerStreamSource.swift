import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Opens a WatchTriggers.
    func watchTriggers(_ token: CallToken) -> PullCall {
        PullCall(self, token, TriggerStreamSource(self, token))
    }
}

/// The messages of a WatchTriggers call, on its loop: what the worker has encoded, as far as the
/// client reads, and what the client acknowledges.
final class TriggerStreamSource: PullSource {
    private let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private var coordinator: TriggerCoordinator?
    private var consumer: TriggerConsumer?
    private var batch: DeliveryBatch?
    private var ending: TriggerConsumer.Ending?
    /// Requests wait until the worker has taken what was acknowledged.
    private var isPaused = false

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
    }

    // MARK: Requests

    func receive(_ message: UnsafeRawBufferPointer) -> PullStart {
        guard let consumer = self.consumer else { return self.begin(message) }
        // The stream's project was checked with its first message, and its key is watched.
        if RequestedProject.find(in: message)?.isEmpty ?? true {
            switch self.loop.decoder.decodeWatchTriggers(message, isFirst: false) {
            case .message(let request): return self.take(request, consumer)
            case .invalid(let violations, _): return .rejected(.invalid(violations))
            case .malformed(let found): return .rejected(.malformed(found))
            case .tooLarge: return .rejected(.notAdmitted(.memoryExhausted))
            case .unsupported(let field): return .rejected(.unsupportedField(field))
            }
        }
        let resolution = self.loop.resolve(message, of: self.token) {
            $0.decoder.decodeWatchTriggers($1, isFirst: false)
        }
        switch resolution {
        case .rejected(let failure): return .rejected(failure)
        case .request(let request, let context):
            guard context.project == consumer.project else {
                return .rejected(.invalid("project", "another one than that of the stream"))
            }
            return self.take(request, consumer)
        }
    }

    private func begin(_ message: UnsafeRawBufferPointer) -> PullStart {
        let resolution = self.loop.resolve(message, of: self.token) {
            $0.decoder.decodeWatchTriggers($1, isFirst: true)
        }
        switch resolution {
        case .rejected(let failure): return .rejected(failure)
        case .request(let request, let context):
            guard let coordinator = context.partition.triggers else {
                return .rejected(.withoutFiles)
            }
            guard let id = request.trigger,
                let trigger = context.partition.store.triggers.info(of: id, in: context.project)
            else { return .rejected(.rejected(.triggerNotFound)) }
            let consumer = TriggerConsumer(
                token: self.token, peer: self.loop.peer(of: self.token),
                project: context.project, trigger: id, triggerLSN: trigger.createdLSN,
                inFlightMax: request.inFlightMax)
            if let failure = coordinator.calls.open(consumer) { return .rejected(failure) }
            self.coordinator = coordinator
            self.consumer = consumer
            return self.take(request, consumer)
        }
    }

    /// Takes what a request acknowledges. What is another trigger's is as unknown as what never
    /// was.
    private func take(_ request: DecodedWatchTriggers, _ consumer: TriggerConsumer) -> PullStart {
        guard !request.namesTrigger || request.trigger == consumer.trigger else {
            return .rejected(.invalid("trigger_id", "another one than that of the stream"))
        }
        let lsns = request.acknowledged.filter { $0.triggerLSN == consumer.triggerLSN }
            .map(\.eventLSN)
        guard !lsns.isEmpty else { return .begun }
        let waiting = consumer.acknowledge(lsns)
        self.signal(consumer)
        if waiting > self.coordinator?.limits.acknowledgementsMax ?? 0, !self.isPaused {
            self.isPaused = true
            self.loop.transport.pauseRequests(of: self.token)
        }
        return .begun
    }

    func requestsEnded() {
        guard let consumer = self.consumer else {
            self.ending = .failed(.invalid("trigger_id", "missing"))
            return
        }
        consumer.finish()
        self.signal(consumer)
    }

    private func signal(_ consumer: TriggerConsumer) { self.coordinator?.calls.signal(consumer) }

    // MARK: Responses

    var state: PullState {
        if let ending = self.ending { return Self.state(of: ending) }
        guard let consumer = self.consumer else { return .waiting }
        if self.isPaused, consumer.acknowledgementCount == 0 {
            self.isPaused = false
            self.loop.transport.resumeRequests(of: self.token)
        }
        if let failure = consumer.abortion { return .failed(failure) }
        while true {
            if let batch = self.batch {
                self.giveBackStale(of: batch, consumer)
                if !batch.isEmpty { return .message }
            }
            let spare = self.batch
            self.batch = nil
            switch consumer.take(giving: spare) {
            case .nothing: return .waiting
            case .ended(let ending):
                self.ending = ending
                return Self.state(of: ending)
            case .batch(let batch):
                self.batch = batch
                self.signal(consumer)
            }
        }
    }

    private static func state(of ending: TriggerConsumer.Ending) -> PullState {
        switch ending {
        case .finished: .ended
        case .failed(let failure), .aborted(let failure): .failed(failure)
        }
    }

    /// Gives back what was encoded too long ago, because the client has not read: it may be with
    /// another stream by now, and the guard may say otherwise. So it does with people who were
    /// erased meanwhile: nothing of them is sent from the moment that it is responded to.
    private func giveBackStale(of batch: DeliveryBatch, _ consumer: TriggerConsumer) {
        guard let store = self.loop.partition?.store else { return }
        let now = self.loop.transport.nowNanoseconds
        let isLookedUp = store.lastEraseLSN != batch.erasure
        var stale: [DeliveryBatch.Firing] = []
        while !batch.isEmpty, let firing = batch.peek().firing,
            firing.sendByNanoseconds <= now
                || isLookedUp && store.isErased(consumer.project, firing.profileID)
        {
            stale.append(firing)
            batch.advance()
        }
        guard !stale.isEmpty else { return }
        consumer.giveBack(stale)
        self.signal(consumer)
    }

    func write(into output: inout ByteBuffer) {
        guard let batch = self.batch else { preconditionFailure("there is a message") }
        output.append(batch.peek().bytes)
        batch.advance()
    }

    // MARK: The end

    func drain() -> Bool {
        guard let consumer = self.consumer else { return false }
        consumer.drain()
        self.signal(consumer)
        return true
    }

    func ended() {
        guard let consumer = self.consumer else { return }
        consumer.close()
        self.signal(consumer)
        self.consumer = nil
        self.batch = nil
    }
}
