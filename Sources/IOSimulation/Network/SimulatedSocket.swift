import IOCore

/// One end of a simulated connection.
package final class SimulatedSocket: StreamSocket {
    package let descriptor: Int32
    package let peer: String
    private let network: SimulatedNetwork

    init(_ network: SimulatedNetwork, descriptor: Int32, peer: String) {
        self.network = network
        self.descriptor = descriptor
        self.peer = peer
    }

    package func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        guard
            let bytes = self.network.state.withLock({
                $0.read(self.descriptor, atMost: target.count)
            })
        else { return .closed }
        guard !bytes.isEmpty else { return .wouldBlock }
        // SAFETY: the caller owns the target for this call; at most its count was taken.
        target.copyBytes(from: bytes)
        return .bytes(bytes.count)
    }

    package func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        let bytes = Array(source)
        guard let count = self.network.state.withLock({ $0.write(self.descriptor, bytes) }) else {
            return .closed
        }
        return count == 0 ? .wouldBlock : .bytes(count)
    }

    package func close() {
        self.network.state.withLock { $0.close(self.descriptor) }
    }

    /// Cuts the connection: both ends see it closed, and bytes under way are lost.
    package func cut() {
        self.network.state.withLock { $0.cut(self.descriptor) }
    }
}

/// A simulated listening socket.
final class SimulatedListener: ListeningSocket {
    let descriptor: Int32
    let address: String
    private let network: SimulatedNetwork

    init(_ network: SimulatedNetwork, descriptor: Int32, address: String) {
        self.network = network
        self.descriptor = descriptor
        self.address = address
    }

    func accept() -> AcceptOutcome {
        let accepted = self.network.state.withLock { state -> (descriptor: Int32, peer: String)? in
            guard state.listeners[self.descriptor]?.backlog.isEmpty == false else { return nil }
            let descriptor = state.listeners[self.descriptor]!.backlog.removeFirst()
            return (descriptor, state.ends[descriptor]?.peer ?? "")
        }
        guard let accepted else { return .wouldBlock }
        return .socket(
            SimulatedSocket(
                self.network, descriptor: accepted.descriptor, peer: accepted.peer))
    }

    func close() {
        self.network.state.withLock { $0.close(self.descriptor) }
    }
}
