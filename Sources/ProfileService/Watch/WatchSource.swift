import Bytes
import GRPCTransport
import Messages

extension ServiceLoop {
    /// Opens a Watch.
    func watch(_ token: CallToken) -> PullCall {
        PullCall(self, token, WatchSource(self, token))
    }
}

/// The messages of a watcher, on its loop: what the worker has encoded, as far as the client reads.
final class WatchSource: PullSource {
    private let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private var watcher: Watcher?
    private var batch: MessageBatch?
    private var failure: CallFailure?

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
    }

    func receive(_ message: UnsafeRawBufferPointer) -> PullStart {
        switch self.loop.resolve(message, of: self.token, decode: { $0.decoder.decodeWatch($1) }) {
        case .rejected(let failure): return .rejected(failure)
        case .request(let request, let context):
            guard let watchers = context.partition.watchers else {
                return .rejected(.withoutFiles)
            }
            let watcher = Watcher(
                token: self.token, peer: self.loop.peer(of: self.token),
                project: context.project, fromLSN: request.fromLSN, filter: request.filter)
            if let failure = watchers.calls.open(watcher) { return .rejected(failure) }
            self.watcher = watcher
            return .begun
        }
    }

    var state: PullState {
        while true {
            if let batch = self.batch {
                self.dropErased(of: batch)
                if !batch.isEmpty { return .message }
            }
            if let failure = self.failure { return .failed(failure) }
            guard let watcher = self.watcher else { return .waiting }
            let spare = self.batch
            self.batch = nil
            switch watcher.take(giving: spare) {
            case .nothing: return .waiting
            case .ended(let failure): self.failure = failure
            case .batch(let batch):
                self.batch = batch
                self.loop.partition?.watchers?.calls.signal(watcher)
            }
        }
    }

    /// People may have been erased since the messages were encoded: nothing of them is sent from
    /// the moment that it is responded to.
    private func dropErased(of batch: MessageBatch) {
        guard let partition = self.loop.partition, let project = self.watcher?.project,
            partition.watchers?.lastErasure(in: partition.store) != batch.erasure
        else { return }
        while !batch.isEmpty, let id = batch.peek().profileID,
            partition.store.isErased(project, id)
        {
            batch.advance()
        }
    }

    func write(into output: inout ByteBuffer) {
        guard let batch = self.batch else { preconditionFailure("there is a message") }
        output.append(batch.peek().bytes)
        batch.advance()
    }

    func drain() -> Bool {
        guard let watcher = self.watcher else { return false }
        watcher.drain()
        self.loop.partition?.watchers?.calls.signal(watcher)
        return true
    }

    func ended() {
        guard let watcher = self.watcher else { return }
        watcher.close()
        self.loop.partition?.watchers?.calls.signal(watcher)
        self.watcher = nil
        self.batch = nil
    }
}
