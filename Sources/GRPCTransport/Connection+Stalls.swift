import CNGHTTP2

// Responses that their reader does not take (A14, C15).

extension Connection {
    /// Bytes of responses were queued.
    @inline(__always)
    func responsesGrew(by count: Int) {
        self.pendingResponseBytes += count
        self.peer.pendingResponseBytes += count
        self.loop.pendingResponseBytes += count
    }

    /// Bytes of responses have left, or went with their stream.
    @inline(__always)
    func responsesShrank(by count: Int) {
        self.pendingResponseBytes -= count
        self.peer.pendingResponseBytes -= count
        self.loop.pendingResponseBytes -= count
        self.loop.hasDrained = true
    }

    /// Counts for the peer and the loop what the socket has not taken, after each write.
    @inline(__always)
    func countOutput() {
        let change = self.output.count - self.countedOutputBytes
        if change != 0, !self.isClosed { self.countOutput(changedBy: change) }
    }

    private func countOutput(changedBy change: Int) {
        self.countedOutputBytes += change
        self.peer.pendingResponseBytes += change
        self.loop.pendingResponseBytes += change
        self.loop.hasDrained = true
    }

    /// A connection that is closed leaves nothing that is counted.
    func forgetOutput() { self.countOutput(changedBy: -self.countedOutputBytes) }

    /// Counts what the handler keeps of a response that is not complete.
    func keep(responseBytes: Int, of stream: RPCStream) {
        let change = responseBytes - stream.keptResponseBytes
        guard change != 0 else { return }
        stream.keptResponseBytes = responseBytes
        self.keptResponseBytes += change
        if change > 0 { self.responsesGrew(by: change) } else { self.responsesShrank(by: -change) }
    }

    /// Whether the handler may keep more of a response that is not complete.
    func mayKeepMore(of stream: RPCStream) -> Bool {
        let limits = self.loop.limits
        return self.pendingResponseBytes - stream.keptResponseBytes
            < limits.outputBytesPerConnectionMax
            && self.peer.pendingResponseBytes < limits.outputBytesPerPeerMax
            && self.loop.pendingResponseBytes < limits.outputBytesMax / 2
    }

    /// Bytes that wait for this peer to read.
    var unreadBytes: Int {
        self.pendingResponseBytes - self.keptResponseBytes + self.output.count
    }

    /// Bytes that are kept for this peer.
    var heldBytes: Int { self.pendingResponseBytes + self.output.count }

    /// Notes that responses wait after a write, so that their progress is checked in time.
    ///
    /// - Returns: Whether the check is to be scheduled.
    func noteWaitingResponses() -> Bool {
        guard self.pendingResponseBytes > self.keptResponseBytes,
            self.responseCheckNanoseconds == .max
        else { return false }
        self.responseCheckNanoseconds =
            self.loop.nowNanoseconds + self.loop.limits.sendStallNanoseconds
        return true
    }

    /// Resets the streams whose responses make no progress, and closes the connection if none does.
    func checkResponses() {
        let now = self.loop.nowNanoseconds
        guard now >= self.responseCheckNanoseconds else { return }
        let limits = self.loop.limits
        var stalled: [RPCStream] = []
        var oldest = UInt64.max
        self.forEachStream { stream in
            guard !stream.output.isEmpty else { return }
            let isOver =
                !stream.machine.isLive
                && now - stream.endedNanoseconds >= limits.responseNanoseconds
            if isOver || now - stream.progressNanoseconds >= limits.sendStallNanoseconds {
                stalled.append(stream)
            } else {
                oldest = min(oldest, stream.progressNanoseconds)
            }
        }
        guard oldest < .max || stalled.isEmpty else { return self.machine.fail(.notReading) }
        self.responseCheckNanoseconds =
            oldest == .max ? .max : max(oldest + limits.sendStallNanoseconds, now + 1)
        for stream in stalled {
            self.cancel(stream, RPCStatus(.cancelled, "the responses were not read in time"))
            self.reset(stream, NGHTTP2_CANCEL)
        }
        if !stalled.isEmpty { self.markDirty() }
    }

    /// Whether responses wait, and none of their bytes has been taken for a while.
    var isReaderStalled: Bool {
        self.unreadBytes > 0
            && self.loop.nowNanoseconds - self.progressNanoseconds
                >= self.loop.limits.contendedStallNanoseconds
    }
}

extension RPCLoop {
    /// How often the holders of unread responses are compared while they are within the budget of
    /// the loop, in nanoseconds: the comparison visits every connection.
    private static let shedIntervalNanoseconds: UInt64 = 500_000_000

    /// Cuts the largest holders of unread responses off: those of a peer that has used up its share
    /// and does not read, and while the loop holds more than its budget, those of the peer that
    /// holds most.
    ///
    /// - Complexity: O(connections), at most twice a second below the budget; above it, as many
    ///   connections are cut as bring it below.
    func shedResponses() {
        guard self.pendingResponseBytes >= self.limits.outputBytesPerPeerMax else { return }
        let isOver = self.pendingResponseBytes > self.limits.outputBytesMax
        guard isOver || self.nowNanoseconds >= self.nextShedNanoseconds else { return }
        self.nextShedNanoseconds = self.nowNanoseconds + Self.shedIntervalNanoseconds
        var holders: [Connection] = []
        for case let open? in self.connections where open.connection.heldBytes > 0 {
            holders.append(open.connection)
        }
        // Peer by peer: many connections that hold little each must not displace a larger one of a
        // peer that holds less.
        holders.sort {
            ($0.peer.pendingResponseBytes, $0.heldBytes)
                > ($1.peer.pendingResponseBytes, $1.heldBytes)
        }
        for holder in holders {
            let isGreedy =
                holder.peer.pendingResponseBytes >= self.limits.outputBytesPerPeerMax
                && holder.isReaderStalled
            guard isGreedy || self.pendingResponseBytes > self.limits.outputBytesMax else {
                continue
            }
            self.close(holder, .outputBudget)
        }
    }

    // MARK: Calls that are not begun

    /// Keeps a whole request until its connection has read responses: nothing is done for a peer
    /// that does not read, and a write never enters the log before its response has headroom.
    func deferDispatch(of stream: RPCStream) {
        self.deferredDispatches.append(stream.token)
    }

    /// Begins the calls that were kept, first come, first served.
    func dispatchDeferred() {
        guard !self.deferredDispatches.isEmpty else { return }
        let waiting = self.deferredDispatches
        self.deferredDispatches.removeAll(keepingCapacity: true)
        for token in waiting {
            // A call that has ended meanwhile leaves the list here.
            self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
                stream.withConnection { connection in
                    guard connection.mayBeginCalls else {
                        self.deferredDispatches.append(token)
                        return
                    }
                    connection.dispatch(stream)
                }
            }
        }
    }
}
