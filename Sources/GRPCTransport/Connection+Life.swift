import Bytes
import CNGHTTP2
import IOCore

// Timeouts of a connection, and its end in order.

extension Connection {
    /// First half of a shutdown: new calls still come, the client learns that they should not.
    func announceDrain() {
        guard self.drain == .none, self.closing == nil else { return }
        self.drain = .announced
        nghttp2_submit_shutdown_notice(self.session)
        nghttp2_submit_ping(self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        self.markDirty()
    }

    /// Second half: calls that are open end, none comes; those that would never end are told to.
    func finishDrain() {
        guard self.drain == .announced, self.closing == nil else { return }
        self.drain = .final
        self.drainStreams()
        let last = nghttp2_session_get_last_proc_stream_id(self.session)
        nghttp2_submit_goaway(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0
        )
        self.markDirty()
    }

    /// The answer to the PING of a shutdown: the client has seen the announcement.
    func pingAcknowledged() {
        if self.drain == .announced { self.finishDrain() }
    }
}

extension RPCLoop {
    /// Schedules the next look at a connection's timeouts.
    func scheduleCheck(of connection: Connection) {
        var due =
            connection.lastActivityNanoseconds
            + (connection.hasPreface ? self.limits.idleNanoseconds : self.limits.prefaceNanoseconds)
        if connection.stalledSinceNanoseconds > 0 {
            due = min(due, connection.stalledSinceNanoseconds + self.limits.sendStallNanoseconds)
        }
        self.wheel.schedule(connection.timer, atNanoseconds: max(due, self.nowNanoseconds + 1))
    }

    /// Closes a connection that has used its time up, else looks again later.
    func check(_ connection: Connection) {
        let idle = self.nowNanoseconds &- connection.lastActivityNanoseconds
        if connection.stalledSinceNanoseconds > 0,
            self.nowNanoseconds - connection.stalledSinceNanoseconds
                >= self.limits.sendStallNanoseconds
        {
            connection.closing = .notReading
        } else if !connection.hasPreface, idle >= self.limits.prefaceNanoseconds {
            connection.closing = .prefaceTimeout
        } else if connection.streams.isEmpty, idle >= self.limits.idleNanoseconds {
            connection.closing = .idle
        } else {
            if !connection.streams.isEmpty {
                connection.lastActivityNanoseconds = self.nowNanoseconds
            }
            return self.scheduleCheck(of: connection)
        }
        connection.markDirty()
    }

    /// Tells a peer that is cut off why, as far as one write gets.
    func sayGoodbye(_ connection: Connection, _ reason: ConnectionEnd, on socket: any StreamSocket)
    {
        let code: nghttp2_error_code
        let text: StaticString
        switch reason {
        case .pings: (code, text) = (NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings")
        case .rapidReset, .flood, .controlFlood, .headerFlood, .notReading:
            (code, text) = (NGHTTP2_ENHANCE_YOUR_CALM, "")
        case .idle: (code, text) = (NGHTTP2_NO_ERROR, "max_idle")
        case .drained: (code, text) = (NGHTTP2_NO_ERROR, "")
        case .protocolError, .done, .peerClosed, .prefaceTimeout, .tooMany: return
        }
        nghttp2_submit_goaway(
            connection.session, UInt8(NGHTTP2_FLAG_NONE.rawValue),
            nghttp2_session_get_last_proc_stream_id(connection.session), code.rawValue,
            text.utf8Start,
            text.utf8CodeUnitCount)
        var bytes: UnsafePointer<UInt8>?
        // A few frames at most: what does not fit one write is not worth waiting for.
        for _ in 0 ..< 16 {
            let count = nghttp2_session_mem_send(connection.session, &bytes)
            guard count > 0 else { break }
            connection.output.append(UnsafeRawBufferPointer(start: bytes, count: count))
        }
        let rest = UnsafeRawBufferPointer(
            rebasing: connection.output.bytes[connection.outputOffset...])
        if !rest.isEmpty { _ = socket.write(rest) }
    }
}
