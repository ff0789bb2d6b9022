import IOCore

// Connections of a loop: accepted, opened, closed.

extension RPCLoop {
    /// How long accepting pauses when descriptors run out, in nanoseconds: long enough that the
    /// failing call costs nothing, short against a client's patience.
    private static let acceptPauseNanoseconds: UInt64 = 100_000_000
    /// Most connections accepted in one tick, so that a flood of them does not starve the others.
    private static let acceptsPerTick = 64

    /// Takes the connections that wait at the listener.
    func accept() {
        for _ in 0 ..< Self.acceptsPerTick {
            switch self.listener.accept() {
            case .socket(let socket): self.open(socket)
            case .wouldBlock: return
            case .exhausted:
                // The most idle connection yields to the one that waits.
                if self.closeMostIdle() { continue }
                self.listening = .paused(
                    untilNanoseconds: self.nowNanoseconds + Self.acceptPauseNanoseconds)
                self.poller.remove(self.listener.descriptor)
                return
            }
        }
    }

    /// Watches the listener again after a pause.
    func resumeAccepting() {
        guard case .paused(let until) = self.listening, self.nowNanoseconds >= until else { return }
        do throws(IOError) {
            try self.poller.add(self.listener.descriptor, tag: Self.listenerTag, interest: .read)
            self.listening = .active
        } catch {
            self.listening = .paused(
                untilNanoseconds: self.nowNanoseconds + Self.acceptPauseNanoseconds)
        }
    }

    /// Accepts no more connections.
    func stopAccepting() {
        if self.listening == .active { self.poller.remove(self.listener.descriptor) }
        self.listening = .ended
    }

    private func open(_ socket: any StreamSocket) {
        let address = PeerAddress(socket.peer)
        if let reason = self.enter(address) { return self.reject(socket, reason) }
        let peer = self.share(of: address)
        let slot = self.freeSlots.popLast() ?? UInt32(self.connections.count)
        if Int(slot) == self.connections.count { self.connections.append(nil) }
        self.generation &+= 1
        let connection = Connection(
            loop: self, slot: slot, generation: self.generation, peer: peer,
            peerText: socket.peer, nowNanoseconds: self.nowNanoseconds)
        connection.timer.fire = { [unowned self, unowned connection] in self.check(connection) }
        do throws(IOError) {
            try self.poller.add(socket.descriptor, tag: Self.tag(of: connection), interest: .read)
        } catch {
            connection.destroy()
            self.leave(peer)
            self.freeSlots.append(slot)
            return socket.close()
        }
        self.connections[Int(slot)] = OpenConnection(connection: connection, socket: socket)
        self.turns.reset(slot: Int(slot))
        self.connectionCount += 1
        self.scheduleCheck(of: connection)
        connection.markDirty()
    }

    /// Ends a connection at once; its calls are cancelled.
    func close(_ connection: Connection, _ reason: ConnectionEnd) {
        guard let open = self.connections[Int(connection.slot)], open.connection === connection
        else { return }
        self.connections[Int(connection.slot)] = nil
        self.turns.reset(slot: Int(connection.slot))
        // All was sent, so it does not matter how the peer's close looked.
        let reason = connection.machine.isLingering ? .done : reason
        self.metrics.ended(reason)
        self.wheel.cancel(connection.timer)
        if connection.end(reason), !connection.output.isEmpty {
            // What does not fit one write is not worth waiting for.
            _ = open.socket.write(connection.output.bytes)
            // The kernel resets a connection that is closed before its bytes are read, and the peer
            // may lose what was just written.
            self.discardInput(of: open.socket)
        }
        connection.forgetOutput()
        connection.noteHeaderBlock(isOpen: false)
        self.poller.remove(open.socket.descriptor)
        open.socket.close()
        self.leave(connection.peer)
        self.handler.connectionClosed(slot: Int(connection.slot))
        self.freeSlots.append(connection.slot)
        self.connectionCount -= 1
    }

    /// What the poller knows a connection by.
    static func tag(of connection: Connection) -> UInt64 {
        UInt64(connection.generation) << 32 | UInt64(connection.slot)
    }
}
