import Bytes

/// One HTTP/2 stream and the call on it. Taken from the loop's free list and used again; its
/// buffers keep their storage.
///
/// Only the loop's table counts a reference to it, for the life of the loop. Everything else keeps
/// it `Unmanaged` and reaches it inside `_withUnsafeGuaranteedRef`: counting references took a
/// sixth of the loop's time, 78 atomic operations a call.
final class RPCStream {
    /// Storage that an idle stream keeps, in bytes: most messages are smaller.
    static let bytesKept = 4 << 10

    /// Index in the loop's table; never changes.
    let slot: UInt32
    /// Raised whenever the stream is used again, so that the token before is dead.
    var generation: UInt32 = 0
    /// HTTP/2 stream id.
    var id: Int32 = 0
    /// The connection; alive as long as any of its streams.
    // SAFETY: the loop's list owns the connection and closes its streams before it lets go of it.
    private var connection: Unmanaged<Connection>!
    /// Index in `Connection.streams`, kept by the connection.
    var index = 0
    /// What the handler knows the call by, of this generation.
    private(set) var token = CallToken(
        loop: 0, connectionSlot: 0, connectionGeneration: 0, streamSlot: 0, streamGeneration: 0)
    var machine = RPCStreamStateMachine()
    /// Index of the method that is called; `nil`: not served.
    var method: Int?
    /// How its messages may be compressed.
    var encoding = RequestHead.Encoding.identity
    var deframer = MessageDeframer()
    var flow = RequestFlow()
    /// What its unfinished request counts for in the budgets.
    var charge = RequestCharge()
    /// Bytes of requests that the handler has not asked for yet, at most
    /// `TransportLimits.streamWindowBytes`.
    var held = ByteQueue(capacity: 64)
    /// The message being received.
    var message = ByteBuffer(capacity: 512)
    /// Framed responses that nghttp2 has not taken yet.
    var output = ByteQueue(capacity: 512)
    /// Bounds the time of the call, or of the message that is being received; see `Connection`.
    let timer = Timer()
    /// When the headers came, monotonic nanoseconds.
    var startedNanoseconds: UInt64 = 0
    var deadlineNanoseconds: UInt64 = .max
    var emptyDataFrames = 0
    /// The handler is told when the call has its status.
    var reportsEnd = false
    /// The DATA frame that nghttp2 sends next is the last; the trailers of OK go behind it.
    var appendsTrailers = false
    /// Its place in a trace; `nil`: none.
    var trace: CallTrace?
    /// What the handler noted for it; 0: nothing.
    var tag: UInt64 = 0
    /// Bytes of its messages so far, with the prefix of each.
    var requestBytes = 0
    var responseBytes = 0
    /// Whether a call uses it: the token's generation is the present one.
    var isOpen: Bool { self.token.streamGeneration == self.generation && self.id != 0 }
    /// Headroom reserved for its response, in bytes; 0: none.
    var reservedResponseBytes = 0
    /// What the handler keeps of a response that is not complete, in bytes; counted as waiting.
    var keptResponseBytes = 0
    /// When the first waiting byte of the responses was queued, or one was last taken, in monotonic
    /// nanoseconds.
    var progressNanoseconds: UInt64 = 0
    /// When the call got its status, in monotonic nanoseconds.
    var endedNanoseconds: UInt64 = 0

    init(slot: UInt32) {
        self.slot = slot
    }

    /// Calls `body` with the connection of an open stream, without counting a reference.
    @inline(__always)
    func withConnection<Result>(_ body: (Connection) -> Result) -> Result {
        self.connection._withUnsafeGuaranteedRef(body)
    }

    /// Makes it ready for a new stream.
    func open(id: Int32, on connection: Connection, nowNanoseconds: UInt64) {
        self.id = id
        // SAFETY: a connection closes all of its streams before the loop releases it.
        self.connection = Unmanaged.passUnretained(connection)
        self.startedNanoseconds = nowNanoseconds
        self.token = CallToken(
            loop: connection.loopIndex, connectionSlot: connection.slot,
            connectionGeneration: connection.generation, streamSlot: self.slot,
            streamGeneration: self.generation)
    }

    /// Forgets the call; its token is dead.
    ///
    /// - Parameter isSpare: Enough idle streams keep their buffers: this one gives them back.
    func reset(isSpare: Bool) {
        let bytesKept = isSpare ? 0 : Self.bytesKept
        self.generation &+= 1
        self.machine = RPCStreamStateMachine()
        self.method = nil
        self.encoding = .identity
        self.deframer = MessageDeframer()
        self.flow = RequestFlow()
        self.charge = RequestCharge()
        self.held.reset(keepingCapacity: bytesKept)
        self.message.removeAll()
        self.message.shrink(toCapacity: bytesKept)
        self.output.reset(keepingCapacity: bytesKept)
        self.deadlineNanoseconds = .max
        self.emptyDataFrames = 0
        self.reportsEnd = false
        self.appendsTrailers = false
        if self.trace != nil { self.trace = nil }
        self.tag = 0
        self.requestBytes = 0
        self.responseBytes = 0
    }
}
