import Bytes
import CNGHTTP2

// The budget of unfinished requests; see `RequestBytes.swift`. Nothing here runs for a request
// whose message comes in one frame.

extension Connection {
    /// Compares what a stream holds with what is counted for it, after each step that may change
    /// it.
    @inline(__always)
    func recharge(_ stream: RPCStream) {
        let wanted = stream.machine.isLive ? stream.requestBytesWanted : 0
        guard wanted != stream.charge.bytes || stream.charge.isWaiting else { return }
        self.recharge(stream, to: wanted)
    }

    private func recharge(_ stream: RPCStream, to wanted: Int) {
        guard wanted > 0 else { return self.releaseCharge(of: stream) }
        let extra = wanted - stream.charge.bytes
        if extra <= 0, !stream.charge.isWaiting {
            return self.change(stream) { $0.shrink(toBytes: wanted) }
        }
        guard self.mayGrant(stream, requestBytes: extra) else { return self.wait(stream) }
        let now = self.loop.nowNanoseconds
        guard let withheld = self.change(stream, { $0.grant(bytes: wanted, nowNanoseconds: now) })
        else { return }
        if withheld > 0 { nghttp2_session_consume_stream(self.session, stream.id, withheld) }
        let limits = self.loop.limits
        // It will need more than one window: a larger one saves round trips.
        if stream.deframer.missingBytes > limits.streamWindowBytes {
            self.setWindow(of: stream, bytes: limits.grantedWindowBytes)
        }
        self.markDirty()
    }

    /// Counts only what is there already, and tries again when others have finished.
    private func wait(_ stream: RPCStream) {
        let held = stream.requestBytesHeld
        let counted =
            stream.charge.isWaiting || stream.charge.bytes == 0
            ? held : max(held, stream.charge.bytes)
        self.change(stream) { $0.wait(bytes: counted) }
        if stream.charge.isWaiting { self.loop.awaitRequestBytes(self) }
        self.loop.shedRequests(of: self.peer)
    }

    private func releaseCharge(of stream: RPCStream) {
        let wasGranted = stream.charge.isGranted
        let withheld = self.change(stream) { $0.release() }
        guard stream.machine.isLive, stream.machine.isRequestOpen else { return }
        if withheld > 0 { nghttp2_session_consume_stream(self.session, stream.id, withheld) }
        if wasGranted { self.setWindow(of: stream, bytes: self.loop.limits.streamWindowBytes) }
    }

    /// A stream that nghttp2 has closed keeps nothing.
    func forgetCharge(of stream: RPCStream) {
        guard stream.charge.bytes > 0 || stream.charge.isWaiting else { return }
        _ = self.change(stream) { $0.release() }
        // Its connection may be waiting for nothing now.
        self.loop.hasReleasedRequests = true
    }

    private func setWindow(of stream: RPCStream, bytes: Int) {
        nghttp2_session_set_local_window_size(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, Int32(bytes))
    }

    /// Whether a request may have so many more bytes now. One that has no share yet comes behind
    /// those of its peer that wait.
    private func mayGrant(_ stream: RPCStream, requestBytes: Int) -> Bool {
        let isNew = stream.charge.grantedSinceNanoseconds == nil && !stream.charge.isWaiting
        return !(isNew && self.peer.waitingConnections > 0)
            && self.exhaustedBudget(forRequestBytes: requestBytes) == nil
    }

    /// Which budget has no headroom for so many more bytes; `nil`: all have. A quarter of those of
    /// peer and loop is kept for what those hold that wait.
    func exhaustedBudget(forRequestBytes count: Int) -> RequestBytes.Level? {
        let limits = self.loop.limits
        if !self.requests.fits(count, max: limits.requestBytesPerConnectionMax) {
            return .connection
        }
        if !self.peer.requests.fits(count, max: limits.requestBytesPerPeerMax / 4 * 3) {
            return .peer
        }
        return self.loop.requests.fits(count, max: limits.requestBytesMax / 4 * 3) ? nil : .loop
    }

    // MARK: Those that wait

    /// Whether one connection comes before another when bytes are granted: what it was granted
    /// counts, and how many requests of it wait. What those hold tells nothing, since a large one
    /// holds a window.
    static func isNext(_ one: Connection, before other: Connection) -> Bool {
        (one.peer.requests.bytes, one.grantedRequestBytes, one.waitingRequests)
            < (other.peer.requests.bytes, other.grantedRequestBytes, other.waitingRequests)
    }

    private var grantedRequestBytes: Int { self.requests.bytes - self.waitingRequestBytes }

    var hasWaitingRequests: Bool { self.waitingRequests > 0 }

    /// The request that is granted next, and what it needs beyond what is counted; `nil`: none
    /// waits.
    var nextWaitingRequest: (stream: RPCStream, missingBytes: Int)? {
        var next: RPCStream?
        self.forEachStream { stream in
            if stream.charge.isWaiting, stream.id < next?.id ?? .max { next = stream }
        }
        return next.map { ($0, $0.requestBytesWanted - $0.charge.bytes) }
    }

    /// Gives its requests that wait their share, the oldest first, up to one that does not fit.
    ///
    /// - Returns: Which budget has no headroom for that one; `nil`: none waits any more.
    func grantWaiting() -> RequestBytes.Level? {
        while !self.isClosed, let next = self.nextWaitingRequest {
            if let level = self.exhaustedBudget(forRequestBytes: next.missingBytes) { return level }
            self.recharge(next.stream)
        }
        return nil
    }

    /// Changes what is counted for a stream, and with it what its connection, peer and loop hold.
    private func change<Result>(
        _ stream: RPCStream, _ body: (inout RequestCharge) -> Result
    ) -> Result {
        let before = stream.charge
        let result = body(&stream.charge)
        let after = stream.charge
        self.waitingRequests += (after.isWaiting ? 1 : 0) - (before.isWaiting ? 1 : 0)
        self.waitingRequestBytes +=
            (after.isWaiting ? after.bytes : 0) - (before.isWaiting ? before.bytes : 0)
        let bytes = after.bytes - before.bytes
        let grants = (after.isGranted ? 1 : 0) - (before.isGranted ? 1 : 0)
        self.requests.add(bytes: bytes, grants: grants)
        self.peer.requests.add(bytes: bytes, grants: grants)
        self.loop.requests.add(bytes: bytes, grants: grants)
        if bytes < 0 { self.loop.hasReleasedRequests = true }
        return result
    }

    /// Ends the calls of this connection whose requests hold bytes.
    func abandonRequests() {
        self.forEachStream { stream in
            guard stream.charge.bytes > 0, stream.machine.isLive else { return }
            self.failRequests(of: stream, self.loop.handler.tooManyUnfinishedRequests())
        }
    }
}

extension RPCStream {
    /// Bytes that the request needs until its message is delivered.
    @inline(__always)
    var requestBytesWanted: Int { self.requestBytesHeld + self.deframer.missingBytes }

    /// Bytes of the request that are kept here.
    @inline(__always)
    var requestBytesHeld: Int { self.message.count + self.held.count }
}
