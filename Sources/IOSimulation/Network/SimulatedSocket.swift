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

    package func shutdownWrite() {
        self.network.state.withLock { state in
            guard let number = state.ends[self.descriptor]?.other, var other = state.ends[number]
            else { return }
            other.isInputEnded = true
            other.endDueAt = other.dueAt(state.now)
            state.ends[number] = other
        }
    }

    package func close() {
        self.network.state.withLock { $0.close(self.descriptor) }
    }

    /// Bytes that may wait to be read here; what waits already stays.
    package func limitReceiveBuffer(toBytes count: Int) {
        self.network.state.withLock { $0.ends[self.descriptor]?.capacityBytes = count }
    }

    /// Most bytes that one write of the other end has brought since the last reset.
    package var largestArrivalBytes: Int {
        self.network.state.withLock { $0.ends[self.descriptor]?.largestArrivalBytes ?? 0 }
    }

    package func resetLargestArrival() {
        self.network.state.withLock { $0.ends[self.descriptor]?.largestArrivalBytes = 0 }
    }

    /// The other end is closed, or this one; bytes may still wait to be read.
    package var isPeerGone: Bool {
        self.network.state.withLock { state in
            guard let end = state.ends[self.descriptor] else { return true }
            return end.isPeerGone && end.endDueAt <= state.now
        }
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
        let network = self.network
        return network.state.withLock { state -> Accepted in
            guard let waiting = state.listeners[self.descriptor]?.backlog.first else {
                return .wouldBlock
            }
            guard !state.isExhausted else { return .exhausted }
            state.listeners[self.descriptor]?.backlog.removeFirst()
            return .descriptor(waiting, peer: state.ends[waiting]?.peer ?? "")
        }.outcome(on: network)
    }

    func close() {
        self.network.state.withLock { $0.close(self.descriptor) }
    }

    /// The outcome of an accept, made under the network's lock.
    private enum Accepted: Sendable {
        case descriptor(Int32, peer: String)
        case wouldBlock
        case exhausted

        func outcome(on network: SimulatedNetwork) -> AcceptOutcome {
            switch self {
            case .descriptor(let descriptor, let peer):
                .socket(SimulatedSocket(network, descriptor: descriptor, peer: peer))
            case .wouldBlock: .wouldBlock
            case .exhausted: .exhausted
            }
        }
    }
}
