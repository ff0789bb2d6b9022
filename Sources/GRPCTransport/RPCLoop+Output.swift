import IOCore

// What connections have to send: once a tick, in one write for each.

extension RPCLoop {
    /// Writes the output of every connection that has some.
    func flush() {
        var index = 0
        // Grows while it is walked: the end of one call may queue the response of another.
        while index < self.dirty.count {
            self.begunResponses.drain { stream, connection in connection.submitResponse(stream) }
            let connection = self.dirty[index]
            connection.isDirty = false
            self.flush(connection)
            index += 1
        }
        self.dirty.removeAll(keepingCapacity: true)
        self.shedResponses()
    }

    /// Writes what waits if it is more than the budget of the loop, and cuts off who does not read:
    /// for a handler that is responding to many calls at once. Calls may end by it.
    package func relieveResponses() {
        if self.pendingResponseBytes > self.limits.outputBytesMax { self.flush() }
    }

    private func flush(_ connection: Connection) {
        guard let open = self.connections[Int(connection.slot)], open.connection === connection
        else { return }
        let isLent = self.lendOutput(to: connection)
        defer {
            self.reclaimOutput(from: connection, isLent: isLent)
            connection.countOutput()
        }
        while true {
            if case .collect = connection.machine.flush { connection.collectOutput() }
            if case .close(let reason) = connection.machine.flush {
                return self.close(connection, reason)
            }
            let waiting = connection.output.count
            guard waiting > 0 else { break }
            switch open.socket.write(connection.output.bytes) {
            case .bytes(let count):
                connection.didWrite(count)
                if count < waiting { return self.watch(connection, forWrite: true) }
                guard waiting >= self.limits.sendBytes else { break }
                continue
            case .wouldBlock: return self.watch(connection, forWrite: true)
            case .closed: return self.close(connection, .peerClosed)
            }
            break
        }
        self.watch(connection, forWrite: false)
        if case .writeRest = connection.machine.flush {
            self.halfClose(connection, open.socket)
        } else if connection.noteWaitingResponses() {
            self.scheduleCheck(of: connection)
        }
    }

    /// Lets a connection that has nothing to send collect its frames in the loop's storage: one
    /// that is idle holds none, and one that is not finds it in the cache.
    ///
    /// - Returns: Whether it did.
    @inline(__always)
    private func lendOutput(to connection: Connection) -> Bool {
        guard connection.output.isEmpty else { return false }
        swap(&connection.output, &self.spareOutput)
        return true
    }

    /// Reclaims the storage unless the peer has left something unread: then the connection keeps
    /// it until all is written.
    @inline(__always)
    private func reclaimOutput(from connection: Connection, isLent: Bool) {
        guard connection.output.isEmpty else { return }
        if isLent {
            swap(&connection.output, &self.spareOutput)
        } else {
            connection.output.reset(keepingCapacity: 0)
        }
    }

    /// Ends our side of a connection that has sent everything, and waits for the peer's: a close
    /// would discard what the peer has not read yet, if it still sends, as readers do that open
    /// their windows (C12).
    private func halfClose(_ connection: Connection, _ socket: any StreamSocket) {
        socket.shutdownWrite()
        connection.machine.outputFinished(
            lingerUntilNanoseconds: self.drainDeadlineNanoseconds
                ?? self.nowNanoseconds + self.limits.lingerNanoseconds)
        self.scheduleCheck(of: connection)
    }

    private func watch(_ connection: Connection, forWrite: Bool) {
        let slot = Int(connection.slot)
        if forWrite {
            switch connection.machine.outputBlocked(nowNanoseconds: self.nowNanoseconds) {
            case .scheduleCheck:
                _ = connection.noteWaitingResponses()
                self.scheduleCheck(of: connection)
            case .ignore: break
            }
        }
        guard let open = self.connections[slot], forWrite || open.wantsWrite else { return }
        self.connections[slot]?.wantsWrite = forWrite
        self.updateInterest(of: connection)
    }

    /// Watches a connection for what its socket needs now.
    func updateInterest(of connection: Connection) {
        let slot = Int(connection.slot)
        guard let open = self.connections[slot] else { return }
        let interest = open.socket.interest(for: open.wantsWrite ? [.read, .write] : .read)
        guard interest != open.interest else { return }
        self.connections[slot]?.interest = interest
        self.poller.modify(
            open.socket.descriptor, tag: Self.tag(of: connection), interest: interest)
    }
}
