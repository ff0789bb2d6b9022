// Flow control of streams towards the handler, in both directions.

extension RPCLoop {
    /// Stops the delivery of a call's requests after the present one; the peer's window stays shut
    /// by what waits.
    package func pauseRequests(of token: CallToken) {
        self.stream(of: token)?._withUnsafeGuaranteedRef { $0.flow.pause() }
    }

    /// Lets a call's requests come again: from the next step of the tick on, never inside of this
    /// call.
    package func resumeRequests(of token: CallToken) {
        guard let stream = self.stream(of: token),
            stream._withUnsafeGuaranteedRef({ $0.flow.resume() }) == .schedule
        else { return }
        self.resumed.append(token)
    }

    /// Delivers what waited of the calls resumed since the last time.
    func deliverHeld() {
        guard !self.resumed.isEmpty else { return }
        // A handler may pause and resume a call meanwhile: that is for the next tick, or one stream
        // could hold the loop for ever.
        let tokens = self.resumed
        self.resumed.removeAll(keepingCapacity: true)
        for token in tokens {
            self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
                stream.withConnection { $0.deliverHeld(of: stream) }
            }
        }
    }

    /// Remembers a stream that was told `.full`.
    func awaitWritable(_ stream: RPCStream) {
        guard !stream.awaitsWritable else { return }
        stream.awaitsWritable = true
        self.streamsAwaitingWritable.append(stream)
    }

    /// Tells those that wait for room and have it now.
    ///
    /// - Complexity: O(waiting streams), in ticks after answers have left; nothing otherwise.
    func announceWritable() {
        guard self.hasDrained else { return }
        self.hasDrained = false
        guard !self.streamsAwaitingWritable.isEmpty else { return }
        let waiting = self.streamsAwaitingWritable
        self.streamsAwaitingWritable.removeAll(keepingCapacity: true)
        for stream in waiting where stream.awaitsWritable {
            guard stream.withConnection({ $0.isWritable(for: stream) }) else {
                self.streamsAwaitingWritable.append(stream)
                continue
            }
            stream.awaitsWritable = false
            if stream.watchedService != nil {
                stream.withConnection { $0.pushHealth() }
            } else if stream.isWithHandler {
                self.handler.becameWritable(stream.token)
            }
        }
    }

    /// Whether this tick left something that need not wait for a socket.
    var hasMoreToDo: Bool {
        !self.resumed.isEmpty || (self.hasDrained && !self.streamsAwaitingWritable.isEmpty)
    }

    func isStreaming(_ stream: RPCStream) -> Bool {
        guard let method = stream.head.method else { return false }
        return self.methods.methods[method].streamsRequests
            || self.methods.methods[method].streamsResponses
    }
}
