import Bytes

// Traces of calls, and what the handler learns of their ends. Nothing here runs for a call without
// a trace on a loop that nobody observes, but the comparisons of the callers.

extension Connection {
    /// Gives a call its place in a trace, if its headers or the sampling say so.
    @inline(never)
    func beginTrace(of stream: RPCStream) {
        let parent = self.head.trace.parent
        let isSampled = parent?.isSampled ?? self.loop.drawsSample()
        guard self.head.trace.isPresent || isSampled else { return }
        stream.trace = CallTrace(
            trace: parent?.trace
                ?? TraceID(high: self.loop.nextTraceID(), low: self.loop.nextTraceID()),
            span: self.loop.nextTraceID(), parentSpan: parent?.span ?? 0, isSampled: isSampled,
            // Whoever sees neither spans nor trailers has no use for it.
            state: isSampled || self.head.trace.isAsked ? self.head.trace.validState : "",
            isReturned: self.head.trace.isAsked)
    }

    /// Tells the handler of a call that has its status.
    @inline(never)
    func reportEnd(of stream: RPCStream, _ code: RPCStatusCode) {
        self.loop.handler.ended(
            EndedCall(
                token: stream.token, method: stream.method, code: code,
                nanoseconds: self.loop.nowNanoseconds - stream.startedNanoseconds,
                requestBytes: stream.requestBytes, responseBytes: stream.responseBytes,
                peer: self.peerText, tag: stream.tag, trace: stream.trace))
    }
}

extension HeaderList {
    /// Adds what a client that asked learns of its trace.
    mutating func add(_ trace: CallTrace?) {
        guard let trace, trace.isReturned else { return }
        self.add("traceparent", trace.parentText)
        if !trace.state.isEmpty { self.add("tracestate", trace.state) }
    }
}

extension RPCLoop {
    /// Notes a number for an open call, which `EndedCall` has.
    package func note(tag: UInt64, of token: CallToken) {
        self.stream(of: token)?._withUnsafeGuaranteedRef { $0.tag = tag }
    }

    /// The trace of a call; `nil`: it has none, or the call is gone. Also for a call that is being
    /// admitted.
    package func trace(of token: CallToken) -> CallTrace? {
        guard token.slot < self.streams.count else { return nil }
        // SAFETY: the loop's table owns every stream until the loop's deinit; the token is compared
        // with the call that the stream now serves.
        return self.streams[token.slot]._withUnsafeGuaranteedRef {
            $0.isOpen && $0.token == token ? $0.trace : nil
        }
    }

    func drawsSample() -> Bool {
        guard self.observation.sampledMillionths > 0 else { return false }
        return self.sample { $0.draws(millionths: self.observation.sampledMillionths) }
    }

    func nextTraceID() -> UInt64 { self.sample { $0.nextID() } }

    /// The seed is asked for once it is needed, so that a loop without traces takes no randomness.
    private func sample<Result>(_ body: (inout TraceSampler) -> Result) -> Result {
        var sampler = self.sampler ?? TraceSampler(seed: self.handler.traceSeed())
        defer { self.sampler = sampler }
        return body(&sampler)
    }
}
