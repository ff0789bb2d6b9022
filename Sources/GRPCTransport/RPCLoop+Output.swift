import IOCore

// What connections have to send: once a tick, in one write for each.

extension RPCLoop {
    /// Writes the output of every connection that has some.
    func flush() {
        var index = 0
        // Grows while it is walked: the end of one call may queue the response of another.
        while index < self.dirty.count {
            let connection = self.dirty[index]
            connection.isDirty = false
            self.flush(connection)
            index += 1
        }
        self.dirty.removeAll(keepingCapacity: true)
    }

    private func flush(_ connection: Connection) {
        guard let open = self.connections[Int(connection.slot)], open.connection === connection
        else { return }
        while true {
            if connection.closing == nil { connection.collectOutput() }
            if let reason = connection.closing, reason != .done {
                return self.close(connection, reason)
            }
            let waiting = connection.output.count - connection.outputOffset
            guard waiting > 0 else { break }
            let bytes = UnsafeRawBufferPointer(
                rebasing: connection.output.bytes[connection.outputOffset...])
            switch open.socket.write(bytes) {
            case .bytes(let count):
                connection.didWrite(count)
                connection.stalledSinceNanoseconds = 0
                if count < waiting { return self.watch(connection, forWrite: true) }
                guard waiting >= self.limits.sendBytes else { break }
                continue
            case .wouldBlock: return self.watch(connection, forWrite: true)
            case .closed: return self.close(connection, .peerClosed)
            }
            break
        }
        self.watch(connection, forWrite: false)
        if connection.closing == .done { self.close(connection, .done) }
    }

    private func watch(_ connection: Connection, forWrite: Bool) {
        let slot = Int(connection.slot)
        if forWrite, connection.stalledSinceNanoseconds == 0 {
            connection.stalledSinceNanoseconds = self.nowNanoseconds
            self.scheduleCheck(of: connection)
        }
        guard let open = self.connections[slot], open.wantsWrite != forWrite else { return }
        self.connections[slot]?.wantsWrite = forWrite
        self.poller.modify(
            open.socket.descriptor, tag: Self.tag(of: connection),
            interest: forWrite ? [.read, .write] : .read)
    }
}
