import GRPCTransport
import Profiles

/// What is known so far of the calls of one loop that will be recorded: those that are open, and
/// those that have ended while a command of theirs is on its way through the log.
///
/// Empty as long as there is no sink.
struct AuditDrafts {
    struct Draft {
        var token: CallToken
        var method: Int
        var keyName: KeyName?
        /// Noted when the call begins: its connection may be gone when it ends.
        var peer: String
        var trace: TraceID?
        var project = ""
        var reason: StaticString = ""
        var lsn: UInt64 = 0
        /// Commands of it that are in the open batch or in the log.
        var commandsPending = 0
    }

    /// A call whose client has its status, or is gone, while the log has not said what became of
    /// its commands.
    struct Ended {
        var draft: Draft
        /// The status that it ended with.
        var code: RPCStatusCode
    }

    /// By the slot of the stream.
    private var drafts: [Draft?] = []
    /// By the stream and its generation. Bounded by the commands that are in flight.
    private var ended: [UInt64: Ended] = [:]

    mutating func begin(
        _ token: CallToken, method: Int, key: KeyName?, peer: String, trace: TraceID? = nil
    ) {
        while self.drafts.count <= token.slot { self.drafts.append(nil) }
        self.drafts[token.slot] = Draft(
            token: token, method: method, keyName: key, peer: peer, trace: trace)
    }

    /// Changes what is known of a call, if it will be recorded.
    mutating func update(_ token: CallToken, _ body: (inout Draft) -> Void) {
        if token.slot < self.drafts.count, self.drafts[token.slot]?.token == token {
            return body(&self.drafts[token.slot]!)
        }
        guard !self.ended.isEmpty, self.ended[Self.key(token)]?.draft.token == token else { return }
        body(&self.ended[Self.key(token)]!.draft)
    }

    /// Takes out what is known of a call that has ended.
    ///
    /// - Returns: `nil`: it is not to be recorded, or not before its commands are back from the log
    ///   (`settle`).
    mutating func end(_ token: CallToken, _ code: RPCStatusCode) -> Draft? {
        guard let draft = self.take(token) else { return nil }
        guard draft.commandsPending > 0 else { return draft }
        self.ended[Self.key(token)] = Ended(draft: draft, code: code)
        return nil
    }

    /// Takes out what is known of a call that is recorded otherwise; one with commands in the log
    /// stays, as its end says more.
    ///
    /// - Returns: The number of its last operation; 0: none.
    mutating func discard(_ token: CallToken) -> UInt64 {
        guard token.slot < self.drafts.count, let draft = self.drafts[token.slot],
            draft.token == token, draft.commandsPending == 0
        else { return 0 }
        self.drafts[token.slot] = nil
        return draft.lsn
    }

    /// Takes out a call that has ended and whose last command is back from the log, or was taken
    /// out of its batch; `nil`: there is none of this token.
    mutating func settle(_ token: CallToken) -> Ended? {
        guard !self.ended.isEmpty, let ended = self.ended[Self.key(token)],
            ended.draft.token == token, ended.draft.commandsPending == 0
        else { return nil }
        self.ended[Self.key(token)] = nil
        return ended
    }

    /// Takes out the calls that have ended and whose commands will not come back any more.
    mutating func takeEnded() -> [Ended] {
        defer { self.ended = [:] }
        return Array(self.ended.values)
    }

    private mutating func take(_ token: CallToken) -> Draft? {
        guard token.slot < self.drafts.count, let draft = self.drafts[token.slot],
            draft.token == token
        else { return nil }
        self.drafts[token.slot] = nil
        return draft
    }

    private static func key(_ token: CallToken) -> UInt64 {
        UInt64(token.streamSlot) << 32 | UInt64(token.streamGeneration)
    }
}

extension RPCDefinition {
    /// Whether calls of it are recorded, whoever makes them: what changes projects and keys, copies
    /// or erases what is known of people, or takes a merge apart.
    var isAlwaysAudited: Bool {
        switch self.name {
        case "EraseProfile", "ExportProfile", "ExportProject", "UnmergeProfile", "CreateProject",
            "UpdateProject", "DeleteProject", "CreateKey", "RevokeKey", "CreateSnapshot", "Backup":
            true
        default: false
        }
    }

    /// Whether calls of it by an operator are recorded.
    var isAuditedOfOperators: Bool {
        if case .write = self.kind { true } else { self.isAlwaysAudited }
    }
}

// What operators can look up later: one record for each refused access, and for each call of the
// rows above at its end.
extension ServiceLoop {
    /// Whether a call's end is to be recorded.
    func audits(_ method: Int, ofOperator: Bool) -> Bool {
        guard self.isAuditing else { return false }
        return ofOperator
            ? self.table[method].isAuditedOfOperators : self.table[method].isAlwaysAudited
    }

    /// Keeps what is known of a call at its beginning.
    func beginAudit(_ call: RPCCall, key: KeyName?) {
        self.audits.begin(
            call.token, method: call.method, key: key,
            peer: self.transport.peerText(of: call.token),
            trace: self.transport.trace(of: call.token)?.trace)
    }

    /// Notes which project a valid request names.
    func noteProject(_ name: UnsafeRawBufferPointer, of token: CallToken) {
        self.audits.update(token) { $0.project = String(decoding: name, as: UTF8.self) }
    }

    /// Notes which project an invalid request names, if that is the name of one: any other text is
    /// the client's, and is not recorded.
    func noteProject(ofInvalid message: UnsafeRawBufferPointer, of token: CallToken) {
        guard let name = RequestedProject.find(in: message),
            CreateProjectCommand.isName(name)
        else { return }
        self.noteProject(name, of: token)
    }

    /// A command of a call got into the open batch.
    func noteCommandAdded(of token: CallToken) {
        self.audits.update(token) { $0.commandsPending += 1 }
    }

    /// A command of a call is back from the log, or was taken out of its batch. What became of it
    /// is noted next, and `recordSettled` follows.
    func noteCommandBack(of token: CallToken) {
        self.audits.update(token) { $0.commandsPending -= 1 }
    }

    /// Records a call that has ended; later, if the log still has a command of it.
    func recordEnd(of token: CallToken, _ code: RPCStatusCode) {
        guard let draft = self.audits.end(token, code) else { return }
        self.record(draft, code)
    }

    /// Records a call that had ended before its command was back, if it was the last one: what was
    /// carried out counts, not whether the client learnt of it. A stream keeps its status, as some
    /// of its commands may not have been carried out.
    func recordSettled(_ token: CallToken) {
        guard let ended = self.audits.settle(token) else { return }
        let isStream =
            if case .stream = self.table[ended.draft.method].handling { true } else { false }
        self.record(ended.draft, ended.draft.lsn > 0 && !isStream ? .ok : ended.code)
    }

    /// Takes what came back from the log after the loop had ended, and records the calls whose
    /// commands never will. Once, when every component of the node has ended.
    func finish() {
        self.woken()
        for ended in self.audits.takeEnded() { self.record(ended.draft, ended.code) }
    }

    private func record(_ draft: AuditDrafts.Draft, _ code: RPCStatusCode) {
        self.access.audit?.record(
            AuditRecord(
                timeMicroseconds: self.transport.nowWallMicroseconds, keyName: draft.keyName,
                peer: draft.peer, method: draft.method, project: draft.project, code: code,
                reason: draft.reason.description, lsn: draft.lsn, trace: draft.trace))
    }

    /// Counts a refused access, and records it; with the project of its key, if that is known: the
    /// one that the request names is the client's text, and need not exist.
    ///
    /// - Parameter method: `nil`: that of the call, which was admitted.
    func noteDenial(
        _ failure: AccessFailure, of token: CallToken, method: Int? = nil, key: KeyName?
    ) {
        self.access.metrics.add(failure)
        guard let audit = self.access.audit else { return }
        // One record says it; the end of the call would say it again.
        let lsn = self.audits.discard(token)
        audit.record(
            AuditRecord(
                timeMicroseconds: self.transport.nowWallMicroseconds, keyName: key,
                peer: self.transport.peerText(of: token),
                method: method ?? self.callers.method(of: token) ?? 0,
                project: failure.isLogin ? "" : self.projectName(ofKey: key),
                code: failure.isLogin ? .unauthenticated : .permissionDenied,
                reason: failure.label, lsn: lsn, isDenial: true,
                trace: self.transport.trace(of: token)?.trace))
    }

    /// Empty: an operator's key, which has no project.
    private func projectName(ofKey name: KeyName?) -> String {
        guard let name, let store = self.partition?.store, let key = store.keys.find(name) else {
            return ""
        }
        return String(decoding: store.project(key.project)?.name ?? [], as: UTF8.self)
    }
}
