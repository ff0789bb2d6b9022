import GRPCTransport

/// Records the calls of the loop; a test may say what it does at a message.
final class RecordingHandler: RPCHandler {
    unowned(unsafe) var loop: RPCLoop!
    var messages: [[UInt8]] = []
    /// Calls of the other methods, in order.
    var events: [String] = []
    /// Of every call that was admitted, in order.
    var tokens: [CallToken] = []
    /// Of the newest call.
    var token: CallToken? { self.tokens.last }
    var onBeforeSleep: () -> Void = {}
    var onMessage: (RPCCall) -> Void = { _ in }
    var onWritable: (CallToken) -> Void = { _ in }

    func admit(_ call: RPCCall) -> RPCStatus? {
        self.tokens.append(call.token)
        return nil
    }

    func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        self.messages.append(Array(message))
        self.onMessage(call)
    }

    func messageTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        self.events.append("too large: \(bytes) of \(maximum)")
        return RPCStatus(.resourceExhausted, "")
    }

    func requestsEnded(of call: RPCCall) { self.events.append("ended") }

    func becameWritable(_ token: CallToken) {
        self.events.append("writable")
        self.onWritable(token)
    }

    func drain(_ token: CallToken) { self.events.append("drain") }
    func cancelled(_ token: CallToken) { self.events.append("cancelled") }
    func woken() {}
    func beforeSleep() { self.onBeforeSleep() }
}
