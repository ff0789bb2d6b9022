// Flow control of streams towards the handler, in both directions.

extension RPCLoop {
    /// Stops the delivery of a call's requests after the present one; the peer's window stays shut
    /// by what is held.
    package func pauseRequests(of token: CallToken) {
        self.stream(of: token)?._withUnsafeGuaranteedRef { $0.flow.pause() }
    }

    /// Delivers a call's requests again: later in the tick, never inside this call.
    package func resumeRequests(of token: CallToken) {
        guard let stream = self.stream(of: token),
            stream._withUnsafeGuaranteedRef({ $0.flow.resume() }) == .schedule
        else { return }
        self.resumed.append(token)
    }

    /// Delivers what was held of the calls resumed since the last time.
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
        switch stream.machine.full() {
        case .watch: self.streamsAwaitingWritable.append(stream)
        case .ignore: break
        }
    }

    /// Notifies the streams that were told `.full` and have headroom now.
    ///
    /// - Complexity: O(waiting streams), in ticks after responses have left; nothing otherwise.
    func announceWritable() {
        guard self.hasDrained else { return }
        self.hasDrained = false
        self.dispatchDeferred()
        guard !self.streamsAwaitingWritable.isEmpty else { return }
        let waiting = self.streamsAwaitingWritable
        self.streamsAwaitingWritable.removeAll(keepingCapacity: true)
        // A stream whose call has ended meanwhile leaves the list here.
        for stream in waiting where stream.machine.awaitsHeadroom {
            guard stream.withConnection({ $0.isWritable(for: stream) }) else {
                self.streamsAwaitingWritable.append(stream)
                continue
            }
            switch stream.machine.headroomFreed() {
            case .notifyHandler: self.handler.becameWritable(stream.token)
            case .ignore: break
            }
        }
    }

    /// Whether this tick left something that need not wait for a socket.
    var hasMoreToDo: Bool {
        !self.resumed.isEmpty
            || (self.hasDrained
                && !(self.streamsAwaitingWritable.isEmpty && self.deferredDispatches.isEmpty))
            || (self.hasReleasedRequests && !self.connectionsAwaitingRequestBytes.isEmpty)
            || !self.bufferedInput.isEmpty
    }
}
