import IOCore

/// The server's end of a connection whose client is the test.
final class ScriptedSocket: StreamSocket {
    let descriptor: Int32
    let peer = "127.0.0.1:1"
    /// Bytes of the client that the loop has not read yet.
    var input: [UInt8] = []
    /// Everything that the loop has written.
    private(set) var output: [UInt8] = []
    /// Most bytes that one write took.
    private(set) var largestWriteBytes = 0
    /// Bytes that the client still takes; `nil`: as many as come.
    var windowBytes: Int?
    /// The client has closed its end.
    var isClosedByPeer = false
    /// The loop has closed this end.
    private(set) var isClosed = false

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    var isReadable: Bool { !self.input.isEmpty || self.isClosedByPeer }
    var isWritable: Bool { self.windowBytes != 0 }

    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        guard !self.input.isEmpty else { return self.isClosedByPeer ? .closed : .wouldBlock }
        let count = min(target.count, self.input.count)
        target.copyBytes(from: self.input[..<count])
        self.input.removeFirst(count)
        return .bytes(count)
    }

    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        let count = min(source.count, self.windowBytes ?? .max)
        guard count > 0 else { return .wouldBlock }
        self.windowBytes? -= count
        self.output += source[..<count]
        self.largestWriteBytes = max(self.largestWriteBytes, count)
        return .bytes(count)
    }

    func resetLargestWrite() { self.largestWriteBytes = 0 }

    func close() {
        precondition(!self.isClosed, "a socket is closed once")
        self.isClosed = true
    }
}

/// A listener at which the test lets connections arrive.
final class ScriptedListener: ListeningSocket {
    let descriptor: Int32 = 3
    let address = "127.0.0.1:2"
    var arriving: [ScriptedSocket] = []
    /// The process has no descriptor left.
    var isExhausted = false
    private(set) var isClosed = false

    func accept() -> AcceptOutcome {
        guard !self.arriving.isEmpty else { return .wouldBlock }
        return self.isExhausted ? .exhausted : .socket(self.arriving.removeFirst())
    }

    func close() { self.isClosed = true }
}

/// Level-triggered readiness of scripted sockets, without waiting.
final class ScriptedPoller: Poller, @unchecked Sendable {
    // SAFETY: the test's thread alone uses it, `wake` included.

    private struct Watched {
        var tag: UInt64
        var interest: IOInterest
    }

    let listener: ScriptedListener
    var sockets: [ScriptedSocket] = []
    private var watched: [Int32: Watched] = [:]
    private var isWoken = false
    private var ready = UnsafeMutableBufferPointer<IOReadiness>.allocate(capacity: 64)

    init(listener: ScriptedListener) {
        self.listener = listener
    }

    deinit { self.ready.deallocate() }

    /// Whether the loop watches the listener.
    var watchesListener: Bool { self.watched[self.listener.descriptor] != nil }

    func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {
        precondition(self.watched[descriptor] == nil, "a descriptor is watched once")
        self.watched[descriptor] = Watched(tag: tag, interest: interest)
    }

    func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {
        precondition(self.watched[descriptor]?.tag == tag, "only what is watched changes")
        self.watched[descriptor]?.interest = interest
    }

    func remove(_ descriptor: Int32) { self.watched[descriptor] = nil }

    func wait(forNanoseconds nanoseconds: UInt64?) -> (
        ready: UnsafeBufferPointer<IOReadiness>, woken: Bool
    ) {
        var found: [IOReadiness] = []
        if let watched = self.watched[self.listener.descriptor], !self.listener.arriving.isEmpty {
            found.append(IOReadiness(tag: watched.tag, interest: .read))
        }
        for socket in self.sockets {
            guard let watched = self.watched[socket.descriptor] else { continue }
            var interest = IOInterest()
            if socket.isReadable { interest.insert(.read) }
            if socket.isWritable { interest.insert(.write) }
            interest.formIntersection(watched.interest)
            if !interest.isEmpty {
                found.append(IOReadiness(tag: watched.tag, interest: interest))
            }
        }
        defer { self.isWoken = false }
        let (_, count) = self.ready.initialize(from: found)
        return (UnsafeBufferPointer(rebasing: self.ready[..<count]), self.isWoken)
    }

    func wake() { self.isWoken = true }
}
