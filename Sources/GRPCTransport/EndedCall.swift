/// A call that has its status, whoever gave it; valid for the call of the handler only.
package struct EndedCall {
    package var token: CallToken
    /// Index into the methods that the loop was made with; `nil`: not served.
    package var method: Int?
    package var code: RPCStatusCode
    /// From its headers to its status, by the times of the ticks, in nanoseconds.
    package var nanoseconds: UInt64
    /// Of its messages, with the prefix of each.
    package var requestBytes: Int
    /// The same of what was responded, whether it is sent already or not.
    package var responseBytes: Int
    /// Address and port, such as `127.0.0.1:50123`.
    package var peer: String
    /// What the handler noted for it; 0: nothing.
    package var tag: UInt64
    package var trace: CallTrace?
}
