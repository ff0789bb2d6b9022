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
            stream.charge.shrink(toBytes: wanted)
            return self.count(requestBytes: extra, grants: 0)
        }
        guard self.hasHeadroom(forRequestBytes: extra) else { return self.wait(stream) }
        let withheld = stream.charge.grant(
            bytes: wanted, nowNanoseconds: self.loop.nowNanoseconds)
        self.count(requestBytes: extra, grants: withheld == nil ? 0 : 1)
        guard let withheld else { return }
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
        self.count(requestBytes: counted - stream.charge.bytes, grants: 0)
        stream.charge.wait(bytes: counted)
        if stream.charge.isWaiting { self.loop.awaitRequestBytes(stream) }
        self.loop.shedRequests(of: self.peer)
    }

    private func releaseCharge(of stream: RPCStream) {
        let wasGranted = stream.charge.grantedSinceNanoseconds != nil
        self.count(requestBytes: -stream.charge.bytes, grants: wasGranted ? -1 : 0)
        let withheld = stream.charge.release()
        guard stream.machine.isLive, stream.machine.isRequestOpen else { return }
        if withheld > 0 { nghttp2_session_consume_stream(self.session, stream.id, withheld) }
        if wasGranted { self.setWindow(of: stream, bytes: self.loop.limits.streamWindowBytes) }
    }

    /// A stream that nghttp2 has closed keeps nothing.
    func forgetCharge(of stream: RPCStream) {
        guard stream.charge.bytes > 0 || stream.charge.isWaiting else { return }
        let wasGranted = stream.charge.grantedSinceNanoseconds != nil
        self.count(requestBytes: -stream.charge.bytes, grants: wasGranted ? -1 : 0)
        _ = stream.charge.release()
    }

    private func setWindow(of stream: RPCStream, bytes: Int) {
        nghttp2_session_set_local_window_size(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, Int32(bytes))
    }

    /// Keeps a quarter of the budgets of peer and loop for what those hold that wait.
    private func hasHeadroom(forRequestBytes count: Int) -> Bool {
        let limits = self.loop.limits
        return self.requests.fits(count, max: limits.requestBytesPerConnectionMax)
            && self.peer.requests.fits(count, max: limits.requestBytesPerPeerMax / 4 * 3)
            && self.loop.requests.fits(count, max: limits.requestBytesMax / 4 * 3)
    }

    private func count(requestBytes: Int, grants: Int) {
        self.requests.bytes += requestBytes
        self.requests.grants += grants
        self.peer.requests.bytes += requestBytes
        self.peer.requests.grants += grants
        self.loop.requests.bytes += requestBytes
        self.loop.requests.grants += grants
        if requestBytes < 0 { self.loop.hasReleasedRequests = true }
    }

    /// Ends the calls of this connection whose requests hold bytes.
    func abandonRequests() {
        self.forEachStream { stream in
            guard stream.charge.bytes > 0, stream.machine.isLive else { return }
            self.cancel(stream, self.loop.handler.tooManyUnfinishedRequests())
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
