import GRPCTransport
import Messages

/// One open stream, or a unary call that goes on after its handler returned: what happens to it is
/// told to it, and it knows its own state.
///
/// Kept by `ServiceLoop.liveCalls` until `ServiceLoop.close`. Used by its loop's thread only.
protocol LiveCall: AnyObject {
    var token: CallToken { get }
    /// The requests of a stream that are responded to in their order; `nil`: it has none.
    var orderedRequests: OrderedRequests? { get }
    /// One whole request of a stream.
    func receive(_ message: UnsafeRawBufferPointer)
    /// The client has sent its last request.
    func requestsEnded()
    /// What came behind the last request is wrong: the stream shall end with this status once its
    /// earlier requests have their responses.
    ///
    /// - Returns: Whether it will; false: it has none to wait for, and ends now.
    func requestsFailed(with status: RPCStatus) -> Bool
    /// A response was rejected as `.full`, and there is headroom again.
    func becameWritable()
    /// The postponed request of a stream holds too many bytes: it shall be responded to without.
    func rejectPostponed()
    /// The stream shall end with this failure: what it has in the log is responded to, nothing else
    /// is carried out.
    ///
    /// - Returns: Whether it will; false: nothing of it is in the log, and it ends now.
    func stop(with failure: CallFailure) -> Bool
    /// The server shuts down: the call shall end with a status soon.
    func drain()
    /// The call ended otherwise than by itself; its token is dead and it is closed already.
    func cancelled()
    /// The turn of a call that is in `ServiceLoop.continuing`.
    func proceed() -> CallProgress
    /// A command of the call came back from the log; its response is encoded.
    func complete(_ ticket: UInt64, with response: UnsafeRawBufferPointer)
    /// A part of an import came back from the log.
    func complete(_ part: BatchSlot, of batch: LogBatch)
    /// Another thread has left something for the call.
    func sourceIsReady()
    /// An operation that another thread carries out for the call has made progress or has ended.
    func complete(_ event: OperatorReport.Event)
}

extension LiveCall {
    var orderedRequests: OrderedRequests? { nil }
    // A unary call has one request, which its handler took; a response stream as well.
    func receive(_ message: UnsafeRawBufferPointer) {}
    func requestsEnded() {}
    func requestsFailed(with status: RPCStatus) -> Bool { false }
    func rejectPostponed() {}
    func stop(with failure: CallFailure) -> Bool { false }
    func becameWritable() {}
    func cancelled() {}
    func proceed() -> CallProgress { .done }
    func complete(_ ticket: UInt64, with response: UnsafeRawBufferPointer) {}
    func complete(_ part: BatchSlot, of batch: LogBatch) {}
    func sourceIsReady() {}
    func complete(_ event: OperatorReport.Event) {}
}

/// What is left of a call after its turn.
enum CallProgress {
    /// It needs no further turn of its own accord.
    case done
    /// It waits for something that wakes the loop anyway, such as headroom in the log.
    case waiting
    /// It has more to do at once, after everyone else's turn.
    case more
}

/// The open calls of a loop, by the slot of their stream in the transport.
///
/// - Complexity: O(1) for each operation.
struct LiveCalls {
    private var slots: [(any LiveCall)?] = []

    /// The call of a token; `nil`: it has ended, or never was one of these.
    subscript(token: CallToken) -> (any LiveCall)? {
        guard Int(token.streamSlot) < self.slots.count,
            let call = self.slots[Int(token.streamSlot)], call.token == token
        else { return nil }
        return call
    }

    /// Adds a call; one that is still in its slot belongs to a stream that has ended.
    mutating func add(_ call: any LiveCall) {
        let slot = Int(call.token.streamSlot)
        while self.slots.count <= slot { self.slots.append(nil) }
        self.slots[slot] = call
    }

    /// Removes a call; another one in the same slot stays.
    mutating func remove(_ token: CallToken) {
        if self[token] != nil { self.slots[Int(token.streamSlot)] = nil }
    }

    func forEach(_ body: (any LiveCall) -> Void) {
        for case let call? in self.slots { body(call) }
    }
}

/// Calls that have a turn in the next tick, first come, first served.
struct ContinuingCalls {
    /// Turns that the calls with more to do get in one tick: their slices then take some 300 µs of
    /// it, whatever their number.
    static let turnsPerTickMax = 4

    private var tokens: [CallToken] = []

    var isEmpty: Bool { self.tokens.isEmpty }

    /// Each call is in it once.
    mutating func add(_ token: CallToken) { self.tokens.append(token) }

    /// Takes all tokens out.
    mutating func takeAll() -> [CallToken] {
        defer { self.tokens.removeAll(keepingCapacity: true) }
        return self.tokens
    }
}

extension ServiceLoop {
    /// The live call of a stream; its first request opens it.
    func liveCall(of call: RPCCall, _ open: RPCHandling.Opener) -> any LiveCall {
        if let known = self.liveCalls[call.token] { return known }
        let opened = open(self, call)
        self.liveCalls.add(opened)
        return opened
    }

    /// Forgets a call that has ended, or is about to.
    func close(_ token: CallToken) {
        self.liveCalls.remove(token)
    }

    /// Gives the calls with more to do their turn; those that had none come first in the next tick.
    func continueCalls() {
        guard !self.continuing.isEmpty else { return }
        var turns = 0
        var hasMore = false
        var later: [CallToken] = []
        for token in self.continuing.takeAll() {
            guard let call = self.liveCalls[token] else { continue }
            guard turns < ContinuingCalls.turnsPerTickMax else {
                self.continuing.add(token)
                hasMore = true
                continue
            }
            switch call.proceed() {
            case .done: break
            case .waiting: later.append(token)
            case .more:
                later.append(token)
                hasMore = true
                turns += 1
            }
        }
        for token in later { self.continuing.add(token) }
        // The next tick shall come without waiting for a socket.
        if hasMore { self.transport.wake() }
    }
}
