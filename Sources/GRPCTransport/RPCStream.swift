import Bytes

/// One HTTP/2 stream and the call on it. Taken from the loop's free list and used again; its
/// buffers keep their storage.
///
/// Only the loop's table counts a reference to it, for the life of the loop. Everything else keeps
/// it `Unmanaged` and looks at it inside `_withUnsafeGuaranteedRef`: counting cost a sixth of the
/// loop's time, 78 atomic operations a call.
final class RPCStream {
    /// Storage that an idle stream keeps, in bytes: most messages are smaller.
    private static let bytesKept = 4 << 10

    /// Place in the loop's table; never changes.
    let slot: UInt32
    /// Raised whenever a call ends, so that its token is dead.
    var generation: UInt32 = 0
    /// HTTP/2 stream id.
    var id: Int32 = 0
    /// The connection; alive as long as any of its streams.
    private var connection: Unmanaged<Connection>!
    /// Place in `Connection.streams`, kept by the connection.
    var index = 0
    /// What the handler knows the call by; of this generation.
    private(set) var token = CallToken(
        loop: 0, connectionSlot: 0, connectionGeneration: 0, streamSlot: 0, streamGeneration: 0)
    var machine = RPCStreamStateMachine(streamsRequests: false)
    var head = RequestHead()
    var deframer = MessageDeframer()
    var flow = RequestFlow()
    /// Bytes of requests that the handler has not asked for yet, from `heldOffset` on; at most
    /// `TransportLimits.streamWindowBytes`.
    var held = ByteBuffer()
    var heldOffset = 0
    /// The timer watches a message of a request stream that is not whole.
    var isBodyDue = false
    /// The message being received.
    var message = ByteBuffer(capacity: 512)
    /// Framed answers not yet given to nghttp2, from `outputOffset` on.
    var output = ByteBuffer(capacity: 512)
    var outputOffset = 0
    /// Set when the answers are complete: the status of the trailers.
    var trailers: RPCStatus?
    /// The answers are complete and the status is OK: the static trailers serve.
    var endsWithOK = false
    /// nghttp2 waits for more answers.
    var isDeferred = false
    /// A message was refused as `.full`: the handler wants to hear when there is room.
    var awaitsWritable = false
    /// The call has a deadline or the body must come; see `Connection`.
    let timer = Timer()
    /// When the headers came, monotonic nanoseconds.
    var startedNanoseconds: UInt64 = 0
    var deadlineNanoseconds: UInt64 = .max
    var emptyDataFrames = 0
    /// A handler knows the call's token.
    var isWithHandler = false
    /// The code was counted: each call is handled once.
    var isCounted = false
    /// The service watched by a health Watch; `nil`: not one.
    var watchedService: String?
    var watchedStatus: UInt8 = 0

    init(slot: UInt32) {
        self.slot = slot
    }

    /// Bytes of answers that wait.
    var pendingOutputBytes: Int { self.output.count - self.outputOffset }
    /// Bytes of requests that wait.
    var heldBytes: Int { self.held.count - self.heldOffset }

    /// Calls `body` with the connection of an open stream, without counting a reference.
    @inline(__always)
    func withConnection<Result>(_ body: (Connection) -> Result) -> Result {
        self.connection._withUnsafeGuaranteedRef(body)
    }

    /// Makes it ready for a new stream.
    func open(id: Int32, on connection: Connection, nowNanoseconds: UInt64) {
        self.id = id
        self.connection = Unmanaged.passUnretained(connection)
        self.startedNanoseconds = nowNanoseconds
        self.token = CallToken(
            loop: connection.loopIndex, connectionSlot: connection.slot,
            connectionGeneration: connection.generation, streamSlot: self.slot,
            streamGeneration: self.generation)
    }

    /// Forgets the call; its token is dead.
    func reset() {
        self.generation &+= 1
        self.machine = RPCStreamStateMachine(streamsRequests: false)
        self.head.reset()
        self.deframer = MessageDeframer()
        self.flow = RequestFlow()
        self.held.removeAll()
        self.held.shrink(toCapacity: Self.bytesKept)
        self.heldOffset = 0
        self.isBodyDue = false
        self.awaitsWritable = false
        self.message.removeAll()
        self.message.shrink(toCapacity: Self.bytesKept)
        self.output.removeAll()
        self.output.shrink(toCapacity: Self.bytesKept)
        self.outputOffset = 0
        self.trailers = nil
        self.endsWithOK = false
        self.isDeferred = false
        self.deadlineNanoseconds = .max
        self.emptyDataFrames = 0
        self.isWithHandler = false
        self.isCounted = false
        self.watchedService = nil
    }
}
