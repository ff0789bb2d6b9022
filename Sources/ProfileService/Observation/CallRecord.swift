import GRPCTransport
import Profiles

/// A call that has ended, as the access log and the exporter of spans see it: what it was and how
/// long it took, never a value of a profile.
package struct CallRecord: Sendable {
    /// When it ended, in microseconds since 1970.
    package var timeMicroseconds: Int64
    /// From its headers to its status.
    package var nanoseconds: UInt64
    /// Index in `RPCTable.all`; `nil`: not served.
    package var method: Int?
    package var code: RPCStatusCode
    /// Bytes of its messages, with the prefix of each.
    package var requestBytes: Int
    package var responseBytes: Int
    /// 0: it names none, or not a valid one.
    package var project: ProjectID
    /// `nil`: it had none.
    package var keyName: KeyName?
    /// Address and port, such as `127.0.0.1:50123`.
    package var peer: String
    /// `nil`: nothing of it went through the log, or it was a stream.
    package var phases: LogPhases?
    package var trace: CallTrace?

    package init(
        timeMicroseconds: Int64, nanoseconds: UInt64, method: Int?, code: RPCStatusCode,
        requestBytes: Int, responseBytes: Int, project: ProjectID, keyName: KeyName?,
        peer: String, phases: LogPhases?, trace: CallTrace?
    ) {
        self.timeMicroseconds = timeMicroseconds
        self.nanoseconds = nanoseconds
        self.method = method
        self.code = code
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
        self.project = project
        self.keyName = keyName
        self.peer = peer
        self.phases = phases
        self.trace = trace
    }
}
