/// One open stream, without anything of its messages.
package struct StreamFigures: Sendable, Equatable {
    package var slot: Int
    package var connectionSlot: Int
    /// Of HTTP/2.
    package var id: Int32
    /// `package.Service/Method`; empty: not served.
    package var method: String
    package var ageNanoseconds: UInt64
    /// Until its deadline; `nil`: it has none.
    package var deadlineNanoseconds: UInt64?
    package var requestBytes: Int
    package var responseBytes: Int
    /// Responses that wait for the client, in bytes.
    package var responseBytesWaiting: Int
    /// Bytes of requests that wait for the handler.
    package var requestBytesHeld: Int
    /// It has its status; what is left is to send it.
    package var hasEnded: Bool
    package var trace: TraceID?
}
