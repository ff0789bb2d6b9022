import GRPCTransport
import Messages
import Profiles

// Who may make a call: decided on its headers, before any byte of its body is kept. Nothing of this
// file runs while no keys are configured, but the one branch in `admit`.
//
// While the log is read nobody is served and no key can be looked up, so REPLAYING comes before the
// key: it says what health says to everyone. Everything else comes after it.

extension ServiceLoop {
    /// Decides on a call where keys are needed or calls are recorded.
    func admitGuarded(_ call: RPCCall) -> RPCAdmission {
        let scopes = self.neededScopes[call.method]
        if !self.access.isOpen, !scopes.isEmpty {
            return self.admitWithKey(call, needing: scopes)
        }
        let admission = self.admitOpen(call)
        guard case .accepted = admission, self.audits(call.method, ofOperator: true) else {
            return admission
        }
        self.audits.begin(call.token, method: call.method, key: nil)
        return .counted
    }

    /// Decides on a call that needs a key.
    ///
    /// Budget: a repeated header costs one comparison, two loads and no hash.
    private func admitWithKey(_ call: RPCCall, needing scopes: AccessScopes) -> RPCAdmission {
        guard let reference = self.partitionReference else {
            return .rejected(RPCStatus(.rejected(.replaying)))
        }
        return reference._withUnsafeGuaranteedRef { partition in
            let version = self.accessVersion(of: partition.store)
            let now = self.transport.nowWallMicroseconds
            if let grant = self.callers.cached(call.token, call.authorization, version, now: now) {
                return self.admit(call, grant, needing: scopes)
            }
            switch self.logIn(call, version, partition.store) {
            case .granted(let grant): return self.admit(call, grant, needing: scopes)
            case .failed(let failure, let name): return self.rejectLogin(call, failure, name)
            }
        }
    }

    func accessVersion(of store: Store) -> AccessVersion {
        AccessVersion(keys: store.keys.version, operators: self.access.operatorVersion)
    }

    /// Looks a header up and remembers what it allows.
    @inline(never)
    private func logIn(_ call: RPCCall, _ version: AccessVersion, _ store: Store) -> Login {
        let now = self.transport.nowWallMicroseconds
        // Other keys may have changed: this one's secret need not be hashed again.
        if let outdated = self.callers.outdated(call.token, call.authorization),
            let grant = self.access.renew(outdated, in: store, now: now)
        {
            self.callers.cache(grant, call.token, call.authorization, version)
            return .granted(grant)
        }
        let login = self.access.logIn(call.authorization, in: store, now: now)
        if case .granted(let grant) = login {
            self.callers.cache(grant, call.token, call.authorization, version)
        }
        return login
    }

    /// Rejects a call without a valid key: in the same words for all reasons, later if its address
    /// has failed too often.
    @inline(never)
    private func rejectLogin(
        _ call: RPCCall, _ failure: AccessFailure, _ name: KeyName?
    ) -> RPCAdmission {
        self.noteDenial(failure, of: call.token, method: call.method, key: name)
        let status = RPCStatus(.rejected(.keyInvalid))
        let isTooOften = self.access.failedLogins.add(
            self.transport.peer(of: call.token), nowNanoseconds: self.transport.nowNanoseconds)
        guard isTooOften else { return .rejected(status) }
        self.access.metrics.addDelayed()
        return .rejectedLater(status)
    }

    private func admit(_ call: RPCCall, _ grant: Grant, needing scopes: AccessScopes)
        -> RPCAdmission
    {
        guard grant.caller.allows(anyOf: scopes) else {
            self.noteDenial(.scope, of: call.token, method: call.method, key: grant.caller.keyName)
            return .rejected(RPCStatus(.rejected(.scopeMissing)))
        }
        let isStream: Bool
        switch self.table[call.method].handling {
        case .unary: isStream = false
        case .stream: isStream = true
        case .notBuilt: return .rejected(RPCStatus(.notBuilt))
        }
        if case .draining = self.state.phase {
            return .rejected(RPCStatus(.rejected(.draining)))
        }
        let isCounted = grant.concurrentCallsMax > 0
        if isCounted, !grant.usage.beginCall(maximum: grant.concurrentCallsMax) {
            self.access.metrics.addCallQuotaRejection()
            return .rejected(
                RPCStatus(
                    .quotaExceeded(
                        "concurrent_calls_max", maximum: grant.concurrentCallsMax,
                        waitNanoseconds: Self.callRetryNanoseconds)))
        }
        grant.usage.note(
            minute: UInt32(truncatingIfNeeded: self.transport.nowWallMicroseconds / 60_000_000))
        self.callers.open(
            call.token, method: call.method, grant, isStream: isStream, isCounted: isCounted)
        let isAudited = self.audits(call.method, ofOperator: grant.caller.isOperator)
        if isAudited {
            self.audits.begin(call.token, method: call.method, key: grant.caller.keyName)
        }
        return isCounted || isAudited ? .counted : .accepted
    }

    /// When a call may be tried again whose key has as many open, in nanoseconds: nobody knows when
    /// one of them ends; most take milliseconds.
    private static let callRetryNanoseconds: UInt64 = 100_000_000

    // MARK: At the door

    /// Whether a call's key may be used for the project that a request names. Compared by the name,
    /// which depends on the request and the key alone, never on which projects exist.
    @inline(__always)
    func isAllowed(projectOf message: UnsafeRawBufferPointer, by grant: Grant) -> Bool {
        // A request whose fields cannot be told apart is rejected by the decoder.
        guard let name = RequestedProject.find(in: message) else { return true }
        return grant.projectName.equals(name)
    }

    /// Rejects a request for another project, as if the key lacked the scope.
    @inline(never)
    func denyProject(_ token: CallToken, _ grant: Grant) -> CallFailure {
        self.noteDenial(.project, of: token, key: grant.caller.keyName)
        return .rejected(.scopeMissing)
    }

    // MARK: Quotas

    /// Takes tokens for the operations of a write.
    ///
    /// - Returns: Why not; `nil`: they were taken, or its key has no such limit.
    @inline(__always)
    func takeTokens(for operations: Int, of token: CallToken) -> CommandAdmission? {
        guard !self.access.isOpen, let grant = self.callers.grant(of: token),
            grant.updatesPerSecondMax > 0
        else { return nil }
        let wait = grant.usage.take(
            operations, perSecond: grant.updatesPerSecondMax,
            nowNanoseconds: self.transport.nowNanoseconds)
        guard wait > 0 else { return nil }
        return .overQuota(maximum: grant.updatesPerSecondMax, waitNanoseconds: wait)
    }

    /// Whether one more operation of a stream would find its token now; looked at before its
    /// request is decoded again.
    func hasToken(_ token: CallToken) -> Bool {
        guard !self.access.isOpen, let grant = self.callers.grant(of: token),
            grant.updatesPerSecondMax > 0
        else { return true }
        return grant.usage.hasToken(
            perSecond: grant.updatesPerSecondMax, nowNanoseconds: self.transport.nowNanoseconds)
    }

    // MARK: Streams

    /// Ends the streams whose key was revoked, has expired or is gone. Once a tick.
    func endRevokedStreams() {
        guard self.callers.hasStreams, let partition = self.partition else { return }
        let store = partition.store
        let version = self.accessVersion(of: store)
        let isDue = self.callers.isWatchDue(
            version, nowNanoseconds: self.transport.nowNanoseconds)
        guard isDue else { return }
        let now = self.transport.nowWallMicroseconds
        let ended = self.callers.takeEnded(
            isOpen: { self.transport.isOpen($0) },
            isValid: { self.access.renew($0, in: store, now: now) != nil })
        for token in ended {
            // What it has not responded to yet is dropped: it is nobody's any more.
            self.cancelled(token)
            self.reject(token, .rejected(.keyInvalid))
        }
    }
}
