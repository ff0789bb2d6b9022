import IOCore

/// A socket like one that encrypts: until its client has sent a first byte it can neither read nor
/// write, and it takes all input from the network whether its user has asked for it or not.
final class HoldingSocket: StreamSocket {
    private let base: any StreamSocket
    private var isOpen = false
    private var held: [UInt8] = []

    init(_ base: any StreamSocket) {
        self.base = base
    }

    var descriptor: Int32 { self.base.descriptor }
    var peer: String { self.base.peer }
    var hasBufferedInput: Bool { !self.held.isEmpty }
    var peerNames: [String] { self.isOpen ? ["DNS:client.example"] : [] }

    func interest(for wanted: IOInterest) -> IOInterest { self.isOpen ? wanted : .read }

    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        let outcome = self.fill()
        if !self.isOpen, !self.held.isEmpty {
            self.held.removeFirst()
            self.isOpen = true
        }
        guard !self.held.isEmpty else { return outcome == .closed ? .closed : .wouldBlock }
        let count = min(target.count, self.held.count)
        target.copyBytes(from: self.held[..<count])
        self.held.removeFirst(count)
        return .bytes(count)
    }

    /// Takes everything that the network has.
    private func fill() -> IOOutcome {
        var chunk = [UInt8](repeating: 0, count: 1 << 10)
        while true {
            let outcome = chunk.withUnsafeMutableBytes { self.base.read(into: $0) }
            guard case .bytes(let count) = outcome else { return outcome }
            self.held += chunk[..<count]
        }
    }

    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        self.isOpen ? self.base.write(source) : .wouldBlock
    }

    func shutdownWrite() { self.base.shutdownWrite() }
    func close() { self.base.close() }
}

/// A listener of such sockets.
final class HoldingListener: ListeningSocket {
    private let base: any ListeningSocket

    init(_ base: any ListeningSocket) {
        self.base = base
    }

    var descriptor: Int32 { self.base.descriptor }
    var address: String { self.base.address }
    func close() { self.base.close() }

    func accept() -> AcceptOutcome {
        guard case .socket(let socket) = self.base.accept() else { return .wouldBlock }
        return .socket(HoldingSocket(socket))
    }
}
