import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Opens an export.
    func export(_ token: CallToken, _ kind: ExportSource.Kind) -> PullCall {
        PullCall(self, token, ExportSource(self, token, kind))
    }
}

/// The parts of an export, on its loop: what the worker has encoded, as far as the client reads.
final class ExportSource: PullSource {
    enum Kind {
        case profile
        case project
    }

    private let token: CallToken
    private let kind: Kind
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private var call: ExportCall?
    private var batch: MessageBatch?
    private var ending: ExportCall.Ending?

    init(_ loop: ServiceLoop, _ token: CallToken, _ kind: Kind) {
        self.loop = loop
        self.token = token
        self.kind = kind
    }

    // MARK: The request

    func receive(_ message: UnsafeRawBufferPointer) -> PullStart {
        switch self.kind {
        case .profile:
            let resolution = self.loop.resolve(message, of: self.token) {
                $0.decoder.decodeExportProfile($1)
            }
            return self.begin(resolution) { request, _ in
                .profile(OwnedIdentifier(request.identifier))
            }
        case .project:
            let resolution = self.loop.resolve(message, of: self.token) {
                $0.decoder.decodeExportProject($1)
            }
            return self.begin(resolution) { request, context in
                guard !request.pageToken.isEmpty else { return .project(from: 0) }
                return context.partition.store.verifyExportToken(
                    request.pageToken, in: context.project
                ).map { .project(from: $0) }
            }
        }
    }

    /// - Parameter scope: `nil` if the page token is another project's.
    private func begin<Request>(
        _ resolution: Resolution<Request>,
        _ scope: (Request, RequestContext) -> ExportCall.Scope?
    ) -> PullStart {
        switch resolution {
        case .rejected(let failure): return .rejected(failure)
        case .request(let request, let context):
            guard let scope = scope(request, context) else {
                return .rejected(.invalid("page_token", "not a token of this project's export"))
            }
            guard let exports = context.partition.exports else {
                return .rejected(.withoutFiles)
            }
            let call = ExportCall(
                token: self.token, peer: self.loop.peer(of: self.token),
                project: context.project, scope: scope)
            if let failure = exports.calls.open(call) { return .rejected(failure) }
            self.call = call
            return .begun
        }
    }

    // MARK: Parts

    var state: PullState {
        while true {
            if let failure = self.projectFailure { return .failed(failure) }
            if let batch = self.batch {
                self.dropErased(of: batch)
                if !batch.isEmpty { return .message }
            }
            switch self.ending {
            case .done: return .ended
            case .failed(let failure): return .failed(failure)
            case nil: break
            }
            guard let call = self.call else { return .waiting }
            let spare = self.batch
            self.batch = nil
            switch call.take(giving: spare) {
            case .nothing: return .waiting
            case .ended(let ending): self.ending = ending
            case .batch(let batch):
                self.batch = batch
                self.loop.partition?.exports?.calls.signal(call)
            }
        }
    }

    /// Why nothing more of the project may be sent; `nil`: it may.
    private var projectFailure: CallFailure? {
        guard let call = self.call, let store = self.loop.partition?.store else { return nil }
        return call.projectFailure(in: store, now: self.loop.transport.nowWallMicroseconds)
    }

    /// People may have been erased since they were read: nothing of them is sent from the moment
    /// that it is responded to.
    private func dropErased(of batch: MessageBatch) {
        guard let call = self.call, let store = self.loop.partition?.store,
            store.lastEraseLSN != batch.erasure
        else { return }
        while !batch.isEmpty, let id = batch.peek().profileID, store.isErased(call.project, id) {
            batch.advance()
            if call.isOfOne { self.ending = .failed(.rejected(.profileNotFound)) }
        }
    }

    func write(into output: inout ByteBuffer) {
        guard let batch = self.batch else { preconditionFailure("there is a message") }
        output.append(batch.peek().bytes)
        batch.advance()
    }

    func ended() {
        guard let call = self.call else { return }
        call.close()
        self.loop.partition?.exports?.calls.signal(call)
        self.call = nil
        self.batch = nil
    }
}
