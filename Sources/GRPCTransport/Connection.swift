import Bytes
import CNGHTTP2
import IOCore

/// One HTTP/2 connection: bytes in, calls up; responses down, bytes out. It does no I/O of its own:
/// its loop reads and writes, and `ConnectionStateMachine` holds its lifetime.
///
/// Used by the loop's thread. nghttp2's callbacks record and dispatch; nothing in them sends,
/// receives or destroys the session.
final class Connection {
    /// Its loop, which releases this connection in `close`: the cycle does not last.
    let loop: RPCLoop
    private let methods: MethodTable
    private let headerBytesMax: Int
    private let headerBytesFatal: Int
    let loopIndex: UInt32
    let slot: UInt32
    let generation: UInt32
    private(set) var session: OpaquePointer!
    /// Bytes taken from nghttp2 and not yet written. Its storage is the loop's while all is written
    /// at once.
    var output = ByteQueue(capacity: 0)
    /// Streams that are open, for the shutdown and the end of the connection.
    // SAFETY: the loop's table owns every stream for the life of the loop, longer than a
    // connection; a stream leaves this list before the loop uses it for another connection.
    private(set) var streams: [Unmanaged<RPCStream>] = []
    /// Bytes of responses waiting in the streams of this connection, or kept for them.
    var pendingResponseBytes = 0
    /// What of them the handler keeps, as their responses are not complete, in bytes.
    var keptResponseBytes = 0
    /// What of `output` is counted for the peer and the loop, in bytes.
    var countedOutputBytes = 0
    /// The peer has changed the size of its table of header fields: the next header block begins
    /// with it (RFC 7541, section 4.2), which nghttp2 alone can write.
    var owesTableSize = false
    /// Headroom that the responses to the calls under way have reserved, in bytes.
    var reservedResponseBytes = 0
    /// It is in the loop's list of connections with output.
    var isDirty = false
    var machine: ConnectionStateMachine
    /// Sees the peer's frames before nghttp2 does.
    var gate: FrameGate
    /// What the connections of the same peer hold.
    let peer: PeerShare
    /// Address and port, such as `127.0.0.1:50123`.
    let peerText: String
    /// When it was accepted, in monotonic nanoseconds.
    let openedNanoseconds: UInt64
    /// What its unfinished requests hold.
    var requests = RequestBytes()
    /// Those that wait for their share, and what of `requests` they hold, in bytes.
    var waitingRequests = 0
    var waitingRequestBytes = 0
    /// Some of them may wait: it is in the loop's list of those connections.
    var awaitsRequestBytes = false
    /// When the peer last took bytes of a response, in monotonic nanoseconds.
    var progressNanoseconds: UInt64
    /// When to look for responses that are not read; `.max`: none wait.
    var responseCheckNanoseconds = UInt64.max
    /// A call of it was accepted.
    var hasAcceptedCalls = false
    /// It is counted among those with an open header block.
    var hasCountedHeaderBlock = false
    /// It has left its loop.
    var isClosed: Bool { self.session == nil }
    /// For the check of its timeouts.
    let timer = Timer()
    /// The last stream of the GOAWAY that ends the session; later ones are not processed.
    var lastStreamAnnounced = Int32.max
    /// The stream that began last. Its header block is never interrupted (RFC 9113, section 4.3),
    /// and its body follows most often.
    // SAFETY: owned as `streams`; set to `nil` when the stream leaves them.
    private var latestStream: Unmanaged<RPCStream>?
    /// The head of `latestStream`; used again for the next one.
    private(set) var head = RequestHead()

    init(
        loop: RPCLoop, slot: UInt32, generation: UInt32, peer: PeerShare, peerText: String,
        nowNanoseconds: UInt64
    ) {
        self.loop = loop
        self.peer = peer
        self.peerText = peerText
        self.openedNanoseconds = nowNanoseconds
        self.progressNanoseconds = nowNanoseconds
        self.loopIndex = UInt32(loop.index)
        self.methods = loop.methods
        self.headerBytesMax = loop.limits.headerBytesMax
        self.headerBytesFatal = loop.limits.headerBytesFatal
        self.slot = slot
        self.generation = generation
        let limits = loop.limits
        self.gate = FrameGate(limits: limits, nowNanoseconds: nowNanoseconds)
        self.machine = ConnectionStateMachine(
            limits: limits, nowNanoseconds: nowNanoseconds,
            // Connections of one moment shall not end at one moment.
            jitter: UInt64(generation) &* 0x9E37_79B9_7F4A_7C15)
        var session: OpaquePointer?
        // SAFETY: the session gets an unretained pointer to self and is deleted in `destroy`,
        // before self ends.
        let made = nghttp2_session_server_new3(
            &session, loop.settings.callbacks, Unmanaged.passUnretained(self).toOpaque(),
            loop.settings.options, loop.memory.table)
        precondition(made == 0, "nghttp2 has no memory for a session")
        self.session = session
        self.submitSettings(limits)
    }

    private func submitSettings(_ limits: TransportLimits) {
        var entries = [
            (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streamsPerConnectionMax),
            (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.streamWindowBytes),
            (NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.headerBytesMax),
            // RFC 9218: no RFC 7540 priorities.
            (nghttp2_settings_id(9), 1),
        ].map { nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: UInt32($0.1)) }
        nghttp2_submit_settings(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), &entries, entries.count)
        nghttp2_session_set_local_window_size(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(limits.connectionWindowBytes))
    }

    /// Deletes the session; no callback comes after it.
    func destroy() {
        nghttp2_session_del(self.session)
        self.session = nil
        self.head.wipe()
    }

    /// Calls `body` with the connection of a callback, without counting a reference: its loop holds
    /// one.
    @inline(__always)
    static func with<Result>(_ user: UnsafeMutableRawPointer?, _ body: (Connection) -> Result)
        -> Result
    {
        // SAFETY: see `init`.
        Unmanaged<Connection>.fromOpaque(user!)._withUnsafeGuaranteedRef(body)
    }

    // MARK: Bytes

    /// Feeds bytes of the socket: all of them to nghttp2, then the whole requests among them to the
    /// handler.
    func receive(_ bytes: UnsafeRawBufferPointer) {
        switch self.machine.bytesReceived(nowNanoseconds: self.loop.nowNanoseconds) {
        case .feedSession: break
        case .ignore: return
        }
        let verdict = self.gate.inspect(
            bytes, openStreams: self.streams.count, nowNanoseconds: self.loop.nowNanoseconds)
        switch verdict {
        case .feed: self.feed(bytes)
        case .reject(let offset, let code):
            self.feed(UnsafeRawBufferPointer(rebasing: bytes[..<offset]))
            // Does nothing if an earlier frame has ended the session.
            nghttp2_session_terminate_session(self.session, code.rawValue)
        }
        self.machine.headerBlockOpen(
            self.gate.openHeaderBlock, nowNanoseconds: self.loop.nowNanoseconds)
        self.noteHeaderBlock(isOpen: self.machine.hasOpenHeaderBlock)
        self.loop.wholeRequests.drain { stream, connection in connection.begin(stream) }
        if !self.gate.budget.settle() { self.machine.fail(.frameFlood) }
        self.markDirty()
    }

    private func feed(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        // SAFETY: `bytes` outlives the call; nghttp2 copies what it keeps; the count is passed with
        // the pointer.
        let consumed = nghttp2_session_mem_recv(
            self.session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        guard consumed != bytes.count else { return }
        switch Int32(truncatingIfNeeded: consumed) {
        case NGHTTP2_ERR_FLOODED.rawValue: self.machine.fail(.flood)
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: self.machine.fail(.headerFlood)
        default: self.machine.fail(.protocolError)
        }
        self.markDirty()
    }

    /// Makes the loop flush this connection in this tick.
    func markDirty() {
        guard !self.isDirty else { return }
        self.isDirty = true
        self.loop.dirty.append(self)
    }

    // MARK: Streams

    /// Calls `body` with an open stream; does nothing if there is none.
    @inline(__always)
    func withStream(_ id: Int32, _ body: (RPCStream) -> Void) {
        // Saves nghttp2 a lookup in its table for half of the frames.
        if let latest = self.latestStream, latest._withUnsafeGuaranteedRef({ $0.id }) == id {
            return latest._withUnsafeGuaranteedRef(body)
        }
        guard let pointer = nghttp2_session_get_stream_user_data(self.session, id) else { return }
        // SAFETY: set in `beginHeaders`; nghttp2 forgets it with the stream; the loop's table keeps
        // the object.
        Unmanaged<RPCStream>.fromOpaque(pointer)._withUnsafeGuaranteedRef(body)
    }

    /// Calls `body` with every open stream.
    func forEachStream(_ body: (RPCStream) -> Void) {
        for stream in self.streams { stream._withUnsafeGuaranteedRef(body) }
    }

    func beginHeaders(_ frame: UnsafePointer<nghttp2_frame>) {
        guard frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue) else { return }
        self.head.reset()
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return }
        self.machine.callsChanged(nowNanoseconds: self.loop.nowNanoseconds)
        let id = frame.pointee.hd.stream_id
        guard id <= self.lastStreamAnnounced, self.loop.mayOpenStream else {
            // It came before the GOAWAY has left, which says that it was not processed, or there
            // are too many: the client may send it elsewhere, or again.
            nghttp2_submit_rst_stream(
                self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id,
                NGHTTP2_REFUSED_STREAM.rawValue)
            return
        }
        let stream = self.loop.takeStream()
        stream._withUnsafeGuaranteedRef {
            $0.open(id: id, on: self, nowNanoseconds: self.loop.nowNanoseconds)
            $0.index = self.streams.count
        }
        self.streams.append(stream)
        self.latestStream = stream
        nghttp2_session_set_stream_user_data(self.session, id, stream.toOpaque())
    }

    /// One header field.
    ///
    /// - Returns: What nghttp2 shall do: 0, go on, or fail the session.
    @inline(__always)
    func header(stream id: Int32, name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
        -> Int32
    {
        // Trailers, and fields of a stream that is refused, count as well.
        self.head.bytes += name.count + value.count + 32
        if self.head.bytes > self.headerBytesFatal {
            self.machine.fail(.headerFlood)
            return Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
        }
        guard self.head.bytes <= self.headerBytesMax, let stream = self.latestStream,
            stream._withUnsafeGuaranteedRef({ $0.id }) == id
        else { return 0 }
        self.head.add(name: name, value: value, methods: self.methods)
        return 0
    }

    /// nghttp2 has closed a stream: reset, or done.
    func streamClosed(_ id: Int32) {
        self.withStream(id) { stream in
            self.remove(stream)
            self.close(stream)
        }
    }

    /// Takes a stream out of `streams`; the last one gets its index.
    private func remove(_ stream: RPCStream) {
        // SAFETY: only the addresses are compared; `stream` is alive as an argument.
        if self.latestStream?.toOpaque() == Unmanaged.passUnretained(stream).toOpaque() {
            self.latestStream = nil
        }
        guard let last = self.streams.popLast(), stream.index < self.streams.count else {
            self.machine.callsChanged(nowNanoseconds: self.loop.nowNanoseconds)
            return
        }
        self.streams[stream.index] = last
        last._withUnsafeGuaranteedRef { $0.index = stream.index }
    }

    /// Ends the calls of a connection that is lost.
    func cancelAll() {
        self.forEachStream { self.close($0) }
        self.streams.removeAll()
    }

    /// Gives a stream that is gone back to the loop; its call, if it is live, is cancelled.
    private func close(_ stream: RPCStream) {
        self.responsesShrank(by: stream.output.count)
        switch stream.machine.close() {
        case .cancel:
            self.callEnded(stream, code: .cancelled)
            self.notifyCancelled(stream)
        case .ignore: break
        }
        self.forgetCharge(of: stream)
        self.loop.giveBack(stream)
    }
}
