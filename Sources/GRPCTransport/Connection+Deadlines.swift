import CNGHTTP2

// Deadlines are compared with the clock when a call begins, when a message of it goes to the
// handler, and when its command is about to enter the log: the timer wheel alone would be late by
// its granularity, and nothing that is past its deadline may be carried out.

extension RPCLoop {
    /// How long a tick may last, in nanoseconds, for its time to do as the present time. A deadline
    /// that is nearer is compared with the clock itself, which is a read of memory and no system
    /// call; others cost one comparison.
    private static let tickNanosecondsMax: UInt64 = 10_000_000

    /// Whether a deadline has passed; `UInt64.max` never does.
    @inline(__always)
    func hasPassed(_ deadlineNanoseconds: UInt64) -> Bool {
        guard deadlineNanoseconds <= self.nowNanoseconds &+ Self.tickNanosecondsMax else {
            return false
        }
        return self.hasPassedNow(deadlineNanoseconds)
    }

    @inline(never)
    private func hasPassedNow(_ deadlineNanoseconds: UInt64) -> Bool {
        deadlineNanoseconds <= self.clock.monotonicNanoseconds()
    }

    /// Whether a call still waits for its response and has time left. A call whose deadline has
    /// passed ends with DEADLINE_EXCEEDED.
    package func isWaiting(_ token: CallToken) -> Bool {
        guard let stream = self.stream(of: token) else { return false }
        return stream._withUnsafeGuaranteedRef { stream in
            guard self.hasPassed(stream.deadlineNanoseconds) else { return true }
            stream.withConnection { $0.endAtDeadline(stream) }
            return false
        }
    }
}

extension Connection {
    static let deadlineStatus = RPCStatus(.deadlineExceeded, "the deadline has passed")

    /// Ends a call whose deadline has passed.
    func endAtDeadline(_ stream: RPCStream) {
        self.endInTime(stream, Self.deadlineStatus)
    }

    /// Ends a call whose time is over, with a status that may not reach the client.
    func endInTime(_ stream: RPCStream, _ status: RPCStatus) {
        self.cancel(stream, status)
        // Trailers would wait behind responses that the client does not read, perhaps for ever
        // (G16).
        if !stream.output.isEmpty { self.reset(stream, NGHTTP2_CANCEL) }
    }
}
