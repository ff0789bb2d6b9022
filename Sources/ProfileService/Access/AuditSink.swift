import GRPCTransport
import Profiles

/// One access that operators shall be able to look up later: who did what, and what became of it.
/// It never has a secret, an address or a value of a profile.
package struct AuditRecord: Equatable, Sendable {
    /// When the call ended or was refused, in microseconds since 1970.
    package var timeMicroseconds: Int64
    /// The key; `nil`: none, or not known.
    package var keyName: KeyName?
    /// Address and port, such as `127.0.0.1:50123`.
    package var peer: String
    /// Index in `RPCTable.all`.
    package var method: Int
    /// At most 63 bytes of `[a-z0-9_-]`; empty: none, or not known.
    package var project: String
    package var code: RPCStatusCode
    /// Of `google.rpc.ErrorInfo`, or the `AccessFailure` of a refused access; empty: none.
    package var reason: String
    /// Of the last operation that was carried out; 0: none.
    package var lsn: UInt64
    /// The call was refused access. Anybody can cause such a record, as often as they like.
    package var isDenial: Bool
    /// `nil`: the call had none.
    package var trace: TraceID?

    package init(
        timeMicroseconds: Int64, keyName: KeyName?, peer: String, method: Int, project: String,
        code: RPCStatusCode, reason: String, lsn: UInt64,
        isDenial: Bool = false, trace: TraceID? = nil
    ) {
        self.timeMicroseconds = timeMicroseconds
        self.keyName = keyName
        self.peer = peer
        self.method = method
        self.project = project
        self.code = code
        self.reason = reason
        self.lsn = lsn
        self.isDenial = isDenial
        self.trace = trace
    }
}

/// Where audit records go. Called on the loops' threads.
package protocol AuditSink: AnyObject, Sendable {
    /// Takes a record; never blocks, and never fails a call.
    func record(_ record: AuditRecord)
}
