/// One open connection, without anything of its clients' data but the network address.
package struct ConnectionFigures: Sendable, Equatable {
    package var slot: Int
    package var generation: UInt32
    /// Address and port, such as `127.0.0.1:50123`.
    package var peer: String
    package var ageNanoseconds: UInt64
    package var streams: Int
    /// Responses that wait for the client, in bytes.
    package var responseBytesWaiting: Int
    /// What its unfinished requests hold, in bytes.
    package var requestBytesHeld: Int
    /// Bytes that are on their way to the socket.
    package var outputBytes: Int
    /// It was asked to end.
    package var isEnding: Bool
}
