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
    /// Its items were counted as rejected.
    case rejected(CallFailure)
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
        #if CANARIES
            let caller = Canary.projectUnchecked.isActive ? .open : self.caller(of: token)
        #else
            let caller = self.caller(of: token)
        #endif
        if !self.isOpen {
            guard self.holdsStill(token) else { return .rejected(.rejected(.keyInvalid)) }
            self.keyedRequest = caller.isOperator ? nil : token
        }
        if Request.namesProject, !caller.isOperator, !self.beginsWithOwnProject(message, token),
            !self.isAllowed(projectOf: message, token)
        {
            return .rejected(self.denyProject(token, caller))
        }
        guard let partition = self.partitionReference else {
            return .rejected(.notAdmitted(.replaying))
        }
        switch decode(self, message) {
        case .message(let request):
            // SAFETY: the loop keeps its partition; no reference is counted.
            return partition._withUnsafeGuaranteedRef {
                self.admit(request, message, of: token, caller, $0)
            }
        case .invalid(let violations, let items):
            if self.isAuditing, Request.hasProjectField {
                self.noteProject(ofInvalid: message, of: token)
            }
            let project = items == 0 ? caller.project : self.project(of: message, caller)
            guard Request.namesProject, self.isForeign(message, token, caller) else {
                return self.rejected(.invalid(violations), items, project)
            }
        case .malformed(let found):
            guard Request.namesProject, self.isForeign(message, token, caller) else {
                return .rejected(.malformed(found))
            }
        case .tooLarge:
            guard Request.namesProject, self.isForeign(message, token, caller) else {
                return .rejected(.notAdmitted(.memoryExhausted))
            }
        case .unsupported(let field):
            guard Request.namesProject, self.isForeign(message, token, caller) else {
                return .rejected(.unsupportedField(field))
            }
        }
        return .rejected(self.denyProject(token, caller))
    }

    /// Resolves the project of a valid request.
    @inline(__always)
    private func admit<Request: DecodedRequest>(
        _ request: Request, _ message: UnsafeRawBufferPointer, of token: CallToken,
        _ caller: Caller, _ partition: Partition
    ) -> Resolution<Request> {
        var project = ProjectID(rawValue: 0)
        if self.isAuditing { self.noteProject(request.project, of: token) }
        // Before the project is looked up: a node that is behind may not have come to it yet.
        let applied = request.minLSN > 0 ? partition.store.appliedLSN : 0
        let isBehind = request.minLSN > applied
        if Request.namesProject, !caller.isOperator {
            // Known by the key; compared again, as the decoder's word counts.
            guard self.isOwn(request.project, token) else {
                return .rejected(self.denyProject(token, caller))
            }
            project = caller.project
            if !Request.isServedWhileDeleting, partition.store.isDeleted(project) {
                return self.rejected(.rejected(.projectDeleted), request.itemCount, project)
            }
        } else if Request.namesProject, !Request.mayNameNoProject || request.project.count > 0 {
            guard let found = self.projects.find(request.project, in: partition.store) else {
                return self.rejected(
                    isBehind ? .lsnNotReached(actual: applied) : .rejected(.projectNotFound),
                    request.itemCount, project)
            }
            project = found.id
            if !Request.isServedWhileDeleting, found.isDeleted {
                return self.rejected(.rejected(.projectDeleted), request.itemCount, project)
            }
        }
        guard !isBehind else {
            return self.rejected(.lsnNotReached(actual: applied), request.itemCount, project)
        }
        if self.isObserving { self.noteObserved(project, of: token) }
        return .request(
            request,
            RequestContext(
                token: token, caller: caller, project: project, partition: partition,
                message: message))
    }

    /// Whether a request that could not be decoded names another project than its key's, behind one
    /// that is the key's.
    @inline(never)
    private func isForeign(
        _ message: UnsafeRawBufferPointer, _ token: CallToken, _ caller: Caller
    ) -> Bool {
        !caller.isOperator && !self.isAllowed(projectOf: message, token)
    }

    /// Counts the items of a request that is rejected here.
    @inline(never)
    private func rejected<Request>(
        _ failure: CallFailure, _ items: Int, _ project: ProjectID
    ) -> Resolution<Request> {
        self.count(rejected: items, of: project)
        return .rejected(failure)
    }

    /// The project that an invalid request counts for; none if there is none of its name.
    private func project(of message: UnsafeRawBufferPointer, _ caller: Caller) -> ProjectID {
        guard caller.isOperator else { return caller.project }
        let none = ProjectID(rawValue: 0)
        guard let store = self.partition?.store, let name = RequestedProject.find(in: message)
        else { return none }
        return self.projects.find(name, in: store)?.id ?? none
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
        case .rejected(let failure): self.reject(call.token, failure)
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

    /// Rejects a call of a project and counts its items.
    func reject(_ context: RequestContext, _ failure: CallFailure, items: Int) {
        self.count(rejected: items, of: context.project)
        self.reject(context.token, failure)
    }

    // MARK: Decoders that need to know the project's or the directory's limits

    func decodeTrack(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWrite> {
        self.decoder.decodeTrack(message) { self.windows(ofProject: $0) }
    }

    func decodeBatch(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWrite> {
        self.decoder.decodeBatch(message) { self.windows(ofProject: $0) }
    }

    func decodeCreateProject(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedCreateProject> {
        self.decoder.decodeCreateProject(message, limits: self.directoryLimits)
    }

    func decodeUpdateProject(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedUpdateProject> {
        self.decoder.decodeUpdateProject(message, limits: self.directoryLimits)
    }

    private var directoryLimits: StoreLimits {
        self.partition?.store.genesis.limits ?? StoreLimits()
    }

    /// The time windows of a project; those of an unknown one are empty.
    private func windows(ofProject name: UnsafeRawBufferPointer) -> AdvisoryWindows {
        var windows: TimeWindows?
        // Another project's are not even looked up: the time would tell whether it exists.
        let isForeign = self.keyedRequest.map { !self.isOwn(name, $0) } ?? false
        // Without counting a reference.
        self.partitionReference?._withUnsafeGuaranteedRef { partition in
            guard !isForeign else { return }
            windows = self.projects.find(name, in: partition.store)?.windows
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
