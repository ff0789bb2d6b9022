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
    func admitGuarded(_ call: RPCCall, _ credentials: UnsafeRawBufferPointer) -> RPCAdmission {
        let scopes = self.methods[call.method].pointee.scopes
        if !self.isOpen, scopes.rawValue != 0 {
            return self.admitWithKey(call, credentials, needing: scopes)
        }
        let admission = self.admitOpen(call)
        guard case .accepted = admission, self.audits(call.method, ofOperator: true) else {
            return admission
        }
        self.beginAudit(call, key: nil)
        return .counted
    }

    /// Decides on a call that needs a key.
    ///
    /// Budget: a repeated header costs one comparison, two loads and no hash.
    private func admitWithKey(
        _ call: RPCCall, _ credentials: UnsafeRawBufferPointer, needing scopes: AccessScopes
    ) -> RPCAdmission {
        guard let reference = self.partitionReference else {
            return .rejected(RPCStatus(.rejected(.replaying)))
        }
        // SAFETY: the loop keeps its partition; no reference is counted.
        let version = reference._withUnsafeGuaranteedRef { self.accessVersion(of: $0.store) }
        if credentials.isEmpty, self.access.mapsCertificates {
            return self.logInByCertificate(call, version) ?? self.admit(call, needing: scopes)
        }
        let isCached = self.callers.isCached(
            call.token, credentials, version, now: self.transport.nowWallMicroseconds)
        if !isCached, let rejection = self.logIn(call, credentials, version) { return rejection }
        return self.admit(call, needing: scopes)
    }

    @inline(__always)
    func accessVersion(of store: Store) -> AccessVersion {
        AccessVersion(keys: store.keys.version, operators: self.access.operatorVersion)
    }

    /// Looks a header up and remembers what it allows.
    ///
    /// - Returns: What the call is told if that is nothing.
    @inline(never)
    private func logIn(
        _ call: RPCCall, _ credentials: UnsafeRawBufferPointer, _ version: AccessVersion
    ) -> RPCAdmission? {
        guard let store = self.partition?.store else { return nil }
        let now = self.transport.nowWallMicroseconds
        // Other keys may have changed: this one's secret need not be hashed again.
        if let outdated = self.callers.outdated(call.token, credentials),
            let grant = self.access.renew(outdated, in: store, now: now)
        {
            self.callers.cache(grant, call.token, credentials, version)
            return nil
        }
        switch self.access.logIn(credentials, in: store, now: now) {
        case .granted(let grant):
            self.callers.cache(grant, call.token, credentials, version)
            return nil
        case .failed(let failure, let name): return self.rejectLogin(call, failure, name)
        }
    }

    /// Looks up what the connection's certificate allows, unless that is known.
    ///
    /// - Returns: What the call is told if that is nothing.
    private func logInByCertificate(_ call: RPCCall, _ version: AccessVersion) -> RPCAdmission? {
        let now = self.transport.nowWallMicroseconds
        guard !self.callers.isCertificateCached(call.token, version, now: now),
            let store = self.partition?.store
        else { return nil }
        let names = self.transport.peerNames(of: call.token)
        switch self.access.logIn(certificate: names, in: store, now: now) {
        case .granted(let grant):
            self.callers.cacheCertificate(grant, call.token, version)
            return nil
        case .failed(let failure, let name): return self.rejectLogin(call, failure, name)
        }
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

    /// Decides on a call whose header was accepted.
    private func admit(_ call: RPCCall, needing scopes: AccessScopes) -> RPCAdmission {
        let caller = self.callers.latest(call.token) { $0.caller }
        guard caller.allows(anyOf: scopes) else {
            self.noteDenial(.scope, of: call.token, method: call.method, key: caller.keyName)
            return .rejected(RPCStatus(.rejected(.scopeMissing)))
        }
        let method = self.methods[call.method].pointee
        guard method.isBuilt else { return .rejected(RPCStatus(.notBuilt)) }
        if case .draining = self.state.phase {
            return .rejected(RPCStatus(.rejected(.draining)))
        }
        let usage = self.callers.latest(call.token) { $0.usage }
        let callsMax = self.callers.latest(call.token) { $0.concurrentCallsMax }
        if callsMax > 0, !usage.beginCall(maximum: callsMax) {
            self.access.metrics.addCallQuotaRejection()
            return .rejected(
                RPCStatus(
                    .quotaExceeded(
                        "concurrent_calls_max", maximum: callsMax,
                        waitNanoseconds: Self.callRetryNanoseconds)))
        }
        usage.note(
            minute: UInt32(truncatingIfNeeded: self.transport.nowWallMicroseconds / 60_000_000))
        self.callers.open(
            call.token, method: call.method, isStream: method.isStream, isCounted: callsMax > 0)
        let isAudited = self.audits(call.method, ofOperator: caller.isOperator)
        if isAudited {
            self.beginAudit(call, key: caller.keyName)
        }
        return callsMax > 0 || isAudited ? .counted : .accepted
    }

    /// When a call may be tried again whose key has as many open, in nanoseconds: nobody knows when
    /// one of them ends; most take milliseconds.
    private static let callRetryNanoseconds: UInt64 = 100_000_000

    // MARK: At the door

    /// Who makes an open call.
    @inline(__always)
    func caller(of token: CallToken) -> Caller {
        if self.isOpen { return .open }
        return self.callers.grant(of: token) { $0.caller } ?? .nobody
    }

    /// Whether the key of a call still holds now that its body has come, which may be a minute
    /// after its headers: else calls could be begun in advance of a revocation, to make new keys
    /// behind it. Streams are watched instead.
    @inline(__always)
    func holdsStill(_ token: CallToken) -> Bool {
        guard let reference = self.partitionReference else { return true }
        let version = reference._withUnsafeGuaranteedRef { self.accessVersion(of: $0.store) }
        let now = self.transport.nowWallMicroseconds
        return self.callers.isFresh(token, version, now: now) || self.renew(token, version, now)
    }

    @inline(never)
    private func renew(_ token: CallToken, _ version: AccessVersion, _ now: Int64) -> Bool {
        guard let store = self.partition?.store, let grant = self.callers.grant(of: token, { $0 })
        else { return true }
        guard self.access.renew(grant, in: store, now: now) == nil else {
            self.callers.renew(token, version)
            return true
        }
        self.noteDenial(
            now < grant.expiresAt ? .revoked : .expired, of: token, key: grant.caller.keyName)
        return false
    }

    /// Whether the first field of a request is the name of its key's project, as clients write it;
    /// which name counts is known once it is decoded.
    @inline(__always)
    func beginsWithOwnProject(_ message: UnsafeRawBufferPointer, _ token: CallToken) -> Bool {
        guard let name = RequestedProject.first(in: message) else { return false }
        return self.isOwn(name, token)
    }

    /// Whether a call's key may be used for the project that a request names. Compared by the name,
    /// which depends on the request and the key alone, never on which projects exist.
    @inline(__always)
    func isAllowed(projectOf message: UnsafeRawBufferPointer, _ token: CallToken) -> Bool {
        // A request whose fields cannot be told apart is rejected by the decoder.
        guard let name = RequestedProject.find(in: message) else { return true }
        return self.isOwn(name, token)
    }

    /// Whether a name is that of the project of a call's key.
    @inline(__always)
    func isOwn(_ name: UnsafeRawBufferPointer, _ token: CallToken) -> Bool {
        self.callers.grant(of: token) { $0.projectName.equals(name) } ?? false
    }

    /// Rejects a request for another project, as if the key lacked the scope.
    @inline(never)
    func denyProject(_ token: CallToken, _ caller: Caller) -> CallFailure {
        self.noteDenial(.project, of: token, key: caller.keyName)
        return .rejected(.scopeMissing)
    }

    // MARK: Quotas

    /// Takes tokens for the operations of a write.
    ///
    /// - Returns: Why not; `nil`: they were taken, or its key has no such limit.
    @inline(__always)
    func takeTokens(for operations: Int, of token: CallToken) -> CommandAdmission? {
        guard !self.isOpen,
            let maximum = self.callers.grant(of: token, { $0.updatesPerSecondMax }), maximum > 0
        else { return nil }
        return self.takeTokens(for: operations, of: token, maximum: maximum)
    }

    @inline(never)
    private func takeTokens(
        for operations: Int, of token: CallToken, maximum: UInt32
    ) -> CommandAdmission? {
        let wait =
            self.callers.grant(of: token) {
                $0.usage.take(
                    operations, perSecond: maximum,
                    nowNanoseconds: self.transport.nowNanoseconds)
            } ?? 0
        return wait > 0 ? .overQuota(maximum: maximum, waitNanoseconds: wait) : nil
    }

    /// Whether one more operation of a stream would find its token now; looked at before its
    /// request is decoded again.
    func hasToken(_ token: CallToken) -> Bool {
        guard !self.isOpen else { return true }
        let now = self.transport.nowNanoseconds
        return self.callers.grant(of: token) {
            $0.updatesPerSecondMax == 0
                || $0.usage.hasToken(perSecond: $0.updatesPerSecondMax, nowNanoseconds: now)
        } ?? true
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
            let grant = self.callers.grant(of: token) { $0 } ?? .none
            self.noteDenial(
                grant.expiresAt <= now ? .expired : .revoked, of: token, key: grant.caller.keyName)
            let failure = CallFailure.rejected(.keyInvalid)
            // What is in the log is responded to; what else waits is dropped: it is nobody's any
            // more.
            if self.liveCalls[token]?.stop(with: failure) == true { continue }
            self.cancelled(token)
            self.reject(token, failure)
        }
    }
}
