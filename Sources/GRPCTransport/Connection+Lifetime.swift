import Bytes
import CNGHTTP2
import IOCore

// What the states of a connection ask for: timeouts, shutdown, the last words.

extension Connection {
    /// First half of a shutdown: see `ConnectionStateMachine`.
    func announceDrain() {
        switch self.machine.announceDrain() {
        case .sendNoticeAndPing: self.sendNoticeAndPing()
        case .ignore: break
        }
    }

    /// As above, because the connection has reached its age (C13).
    func announceEndOfAge() {
        switch self.machine.announceEndOfAge(nowNanoseconds: self.loop.nowNanoseconds) {
        case .sendNoticeAndPing: self.sendNoticeAndPing()
        case .ignore: break
        }
    }

    private func sendNoticeAndPing() {
        nghttp2_submit_shutdown_notice(self.session)
        self.sendPing()
    }

    /// Asks the peer for an acknowledgement: that of a shutdown, or a sign of life (C14).
    func sendPing() {
        nghttp2_submit_ping(self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        self.markDirty()
    }

    /// Second half of a shutdown.
    func finishDrain() {
        switch self.machine.finishDrain() {
        case .sendGoawayAndDrainStreams:
            self.drainStreams()
            self.submitGoaway(NGHTTP2_NO_ERROR, self.machine.isEndOfAge ? "max_age" : "")
            self.markDirty()
        case .ignore: break
        }
    }

    /// Tells the handler of every open stream that the server ends (C12).
    private func drainStreams() {
        self.forEachStream { stream in
            switch stream.machine.drain() {
            case .notifyHandler: self.loop.handler.drain(stream.token)
            case .ignore: break
            }
        }
    }

    private func submitGoaway(_ code: nghttp2_error_code, _ reason: String) {
        self.announceLastStream()
        var reason = reason
        reason.withUTF8 {
            // SAFETY: nghttp2 copies the debug data.
            _ = nghttp2_submit_goaway(
                self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), self.lastStreamAnnounced,
                code.rawValue, $0.baseAddress, $0.count)
        }
    }

    /// Ends its calls and its session.
    ///
    /// - Returns: Whether the peer is to be told why: the last bytes are in `output` then.
    func end(_ reason: ConnectionEnd) -> Bool {
        let goodbye = self.machine.close(reason)
        switch goodbye {
        case .some(let goodbye) where goodbye.isPeerAtFault: self.appendGoaway(goodbye.reason)
        case .some(let goodbye):
            self.submitGoaway(NGHTTP2_NO_ERROR, goodbye.reason)
            self.collectGoodbye()
        case nil: break
        }
        self.cancelAll()
        self.destroy()
        return goodbye != nil
    }

    /// Writes GOAWAY(ENHANCE_YOUR_CALM) behind the frames that have left nghttp2: what a flood has
    /// queued there, acknowledgements above all, would come first.
    private func appendGoaway(_ reason: String) {
        self.announceLastStream()
        self.output.prepareAppend()
        let payloadBytes = 4 + 4 + reason.utf8.count
        // Length and type in four bytes, flags, stream 0; then last stream, code and reason.
        self.output.buffer.append(
            (UInt32(payloadBytes) << 8 | UInt32(NGHTTP2_GOAWAY.rawValue)).bigEndian)
        self.output.buffer.append(UInt8(0))
        self.output.buffer.append(UInt32(0))
        self.output.buffer.append(self.lastStreamAnnounced.bigEndian)
        self.output.buffer.append(NGHTTP2_ENHANCE_YOUR_CALM.rawValue.bigEndian)
        for byte in reason.utf8 { self.output.buffer.append(byte) }
    }

    /// Lowers the last stream that a GOAWAY names to the last one that was processed.
    ///
    /// nghttp2 compares with what it has sent, not with what it has queued, and the last stream
    /// must never rise (RFC 9113, section 6.8).
    private func announceLastStream() {
        self.lastStreamAnnounced = min(
            self.lastStreamAnnounced, nghttp2_session_get_last_proc_stream_id(self.session))
    }

    /// Takes the last frames from nghttp2: a few at most, because what does not fit one write is
    /// not worth waiting for.
    private func collectGoodbye() {
        for _ in 0 ..< 16 {
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(self.session, &bytes)
            guard count > 0 else { break }
            // SAFETY: nghttp2's bytes are valid until its next call.
            self.output.append(UnsafeRawBufferPointer(start: bytes, count: count))
        }
    }
}

extension RPCLoop {
    /// Schedules the next check of a connection's timeouts, unless one comes as early: that one
    /// looks again.
    func scheduleCheck(of connection: Connection) {
        let due = max(
            min(connection.machine.nextCheckNanoseconds, connection.responseCheckNanoseconds),
            self.nowNanoseconds + 1)
        let timer = connection.timer
        guard !timer.isScheduled || due < timer.dueNanoseconds else { return }
        self.wheel.schedule(timer, atNanoseconds: due)
    }

    /// Closes a connection that has used its time up, else checks again later.
    func check(_ connection: Connection) {
        connection.checkResponses()
        let action = connection.machine.check(
            nowNanoseconds: self.nowNanoseconds, hasStreams: !connection.streams.isEmpty)
        switch action {
        case .close: return connection.markDirty()
        case .checkAgain: break
        case .announceEndOfAge: connection.announceEndOfAge()
        case .finishDrain: connection.finishDrain()
        case .ping: connection.sendPing()
        }
        self.scheduleCheck(of: connection)
    }
}
