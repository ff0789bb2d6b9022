import Bytes
import GRPCTransport
import Messages
import Profiles

/// What a handler needs beside its request; valid for one call of the handler.
struct RequestContext {
    let token: CallToken
    let caller: Caller
    /// Of the request; `ProjectID(rawValue: 0)` if it names none.
    let project: ProjectID
    // SAFETY: the loop keeps its partition, which never changes once it is known.
    unowned(unsafe) let partition: Partition
    /// The request as it came.
    let message: UnsafeRawBufferPointer
}

/// What became of a request at the door.
enum Resolution<Request> {
    case request(Request, RequestContext)
    case rejected(CallFailure, items: Int)
}

// The one way in: every request of every RPC is decoded here, and its project and caller are
// resolved here.
extension ServiceLoop {
    /// Decodes a request and resolves its project and caller.
    @inline(__always)
    func resolve<Request: DecodedRequest>(
        _ message: UnsafeRawBufferPointer, of token: CallToken,
        decode: (ServiceLoop, UnsafeRawBufferPointer) -> Decoded<Request>
    ) -> Resolution<Request> {
        // The caller comes first: what a call without access is told must not depend on its
        // content.
        let caller = self.caller(of: token)
        if Request.namesProject, !caller.isOperator, !self.isAllowed(projectOf: message, token) {
            return .rejected(self.denyProject(token, caller), items: 0)
        }
        guard let partition = self.partitionReference else {
            return .rejected(.notAdmitted(.replaying), items: 0)
        }
        switch decode(self, message) {
        case .message(let request):
            return partition._withUnsafeGuaranteedRef { partition in
                var project = ProjectID(rawValue: 0)
                if self.isAuditing { self.noteProject(request.project, of: token) }
                if Request.namesProject, !caller.isOperator {
                    // Known by the key; compared again, as the decoder's word counts.
                    guard self.isOwn(request.project, token) else {
                        return .rejected(.rejected(.scopeMissing), items: request.itemCount)
                    }
                    project = caller.project
                } else if Request.namesProject,
                    !Request.mayNameNoProject || request.project.count > 0
                {
                    guard let found = partition.store.findProject(request.project) else {
                        return .rejected(.rejected(.projectNotFound), items: request.itemCount)
                    }
                    project = found
                }
                if request.minLSN > 0 {
                    let applied = partition.store.appliedLSN
                    guard request.minLSN <= applied else {
                        return .rejected(.lsnNotReached(actual: applied), items: request.itemCount)
                    }
                }
                return .request(
                    request,
                    RequestContext(
                        token: token, caller: caller, project: project, partition: partition,
                        message: message))
            }
        case .invalid(let violations, let items):
            return .rejected(.invalid(violations), items: items)
        case .malformed(let found): return .rejected(.malformed(found), items: 0)
        case .tooLarge: return .rejected(.notAdmitted(.memoryExhausted), items: 0)
        case .unsupported(let field): return .rejected(.unsupportedField(field), items: 0)
        }
    }

    /// Runs `handle` with a valid request and its context, or rejects the call.
    @inline(__always)
    func withRequest<Request: DecodedRequest>(
        _ message: UnsafeRawBufferPointer, of call: RPCCall,
        decode: (ServiceLoop, UnsafeRawBufferPointer) -> Decoded<Request>,
        _ handle: (ServiceLoop, Request, RequestContext) -> Void
    ) {
        switch self.resolve(message, of: call.token, decode: decode) {
        case .request(let request, let context): handle(self, request, context)
        case .rejected(let failure, let items): self.reject(call.token, failure, items: items)
        }
    }

    /// Adds a write whose payload the decoder packed to the open batch, or rejects the call.
    @inline(__always)
    func write(
        _ message: UnsafeRawBufferPointer, of call: RPCCall,
        decode: (ServiceLoop, UnsafeRawBufferPointer) -> Decoded<DecodedWrite>
    ) {
        self.withRequest(message, of: call, decode: decode) { loop, write, context in
            loop.settle(loop.append(write, context), of: context, items: write.itemCount)
        }
    }

    func reject(_ token: CallToken, _ failure: CallFailure, items: Int) {
        self.accounting.add(rejected: items)
        self.reject(token, failure)
    }

    // MARK: Decoders that need to know the project's or the directory's limits

    func decodeTrack(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWrite> {
        self.decoder.decodeTrack(message) { self.windows(ofProject: $0) }
    }

    func decodeBatch(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWrite> {
        self.decoder.decodeBatch(message) { self.windows(ofProject: $0) }
    }

    func decodeUpdateProject(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedProjectRequest> {
        let limits = self.partition?.store.genesis.limits ?? StoreLimits()
        return self.decoder.decodeUpdateProject(message, limits: limits)
    }

    /// The time windows of a project; those of an unknown one are empty.
    private func windows(ofProject name: UnsafeRawBufferPointer) -> AdvisoryWindows {
        var windows: TimeWindows?
        // Without counting a reference.
        self.partitionReference?._withUnsafeGuaranteedRef { partition in
            windows = partition.store.findProject(name).flatMap {
                partition.store.timeWindows(of: $0)
            }
        }
        return AdvisoryWindows(
            nowMicroseconds: self.transport.nowWallMicroseconds,
            lateMicroseconds: TimeRules.microseconds(
                ofSeconds: windows?.lateSeconds ?? 0),
            historicalMicroseconds: TimeRules.microseconds(
                ofSeconds: windows?.historicalSeconds ?? 0),
            aheadMicroseconds: TimeRules.microseconds(
                ofSeconds: windows?.aheadSeconds ?? 0))
    }
}
