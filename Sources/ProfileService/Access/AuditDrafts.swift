import GRPCTransport
import Profiles

/// What is known so far of the open calls of one loop that will be recorded at their end.
///
/// Empty as long as there is no sink.
struct AuditDrafts {
    struct Draft {
        var token: CallToken
        var method: Int
        var keyName: KeyName?
        var project = ""
        var reason: StaticString = ""
        var lsn: UInt64 = 0
    }

    /// By the slot of the stream.
    private var drafts: [Draft?] = []

    mutating func begin(_ token: CallToken, method: Int, key: KeyName?) {
        while self.drafts.count <= token.slot { self.drafts.append(nil) }
        self.drafts[token.slot] = Draft(token: token, method: method, keyName: key)
    }

    /// Changes what is known of a call, if it will be recorded.
    mutating func update(_ token: CallToken, _ body: (inout Draft) -> Void) {
        guard token.slot < self.drafts.count, self.drafts[token.slot]?.token == token else {
            return
        }
        body(&self.drafts[token.slot]!)
    }

    /// Takes out what is known of a call that has ended; `nil`: it is not to be recorded.
    mutating func end(_ token: CallToken) -> Draft? {
        guard token.slot < self.drafts.count, let draft = self.drafts[token.slot],
            draft.token == token
        else { return nil }
        self.drafts[token.slot] = nil
        return draft
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

    /// Records a call that has ended.
    func recordEnd(of token: CallToken, _ code: RPCStatusCode) {
        guard let draft = self.audits.end(token) else { return }
        self.access.audit?.record(
            AuditRecord(
                timeMicroseconds: self.transport.nowWallMicroseconds, keyName: draft.keyName,
                peer: self.transport.peerText(of: token), method: draft.method,
                project: draft.project, code: code, reason: draft.reason.description,
                lsn: draft.lsn))
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
        _ = self.audits.end(token)
        audit.record(
            AuditRecord(
                timeMicroseconds: self.transport.nowWallMicroseconds, keyName: key,
                peer: self.transport.peerText(of: token),
                method: method ?? self.callers.method(of: token) ?? 0,
                project: failure.isLogin ? "" : self.projectName(ofKey: key),
                code: failure.isLogin ? .unauthenticated : .permissionDenied,
                reason: failure.label, lsn: 0))
    }

    /// Empty: an operator's key, which has no project.
    private func projectName(ofKey name: KeyName?) -> String {
        guard let name, let store = self.partition?.store, let key = store.keys.find(name) else {
            return ""
        }
        return String(decoding: store.project(key.project)?.name ?? [], as: UTF8.self)
    }
}
