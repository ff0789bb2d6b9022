import IOSimulation

/// The bytes of one client: a simulated connection that is read and written without waiting.
final class ClientConnection {
    private let socket: SimulatedSocket
    private var output: [UInt8] = []
    private var outputOffset = 0
    /// Closed or cut by either side, as far as this end has noticed.
    private(set) var isClosed = false

    init(_ socket: SimulatedSocket) {
        self.socket = socket
    }

    /// Whether all that was enqueued has left.
    var isFlushed: Bool { self.outputOffset == self.output.count }

    /// Adds bytes to what `writeOnce` sends.
    func enqueue(_ bytes: some Sequence<UInt8>) {
        if self.isFlushed {
            self.output.removeAll(keepingCapacity: true)
            self.outputOffset = 0
        }
        self.output += bytes
    }

    /// Hands the next bytes to `body`, which must not keep them.
    ///
    /// - Returns: Whether any came.
    func readOnce(_ body: (UnsafeRawBufferPointer) -> Void) -> Bool {
        guard !self.isClosed else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { buffer in
            switch self.socket.read(into: buffer) {
            case .wouldBlock: return false
            case .closed:
                self.close()
                return false
            case .bytes(let count):
                body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return true
            }
        }
    }

    /// Sends some of what is enqueued. A server that has closed is noticed by reading only, because
    /// what it sent before can still be read.
    ///
    /// - Returns: Whether any byte left.
    func writeOnce() -> Bool {
        guard !self.isClosed, !self.isFlushed else { return false }
        let outcome = self.output[self.outputOffset...].withUnsafeBytes { self.socket.write($0) }
        guard case .bytes(let count) = outcome else { return false }
        self.outputOffset += count
        return true
    }

    /// Whether the server has closed its end.
    var isPeerGone: Bool { self.socket.isPeerGone }

    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.socket.close()
    }

    /// Bytes under way are lost.
    func cut() {
        self.socket.cut()
    }
}
