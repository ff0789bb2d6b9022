import GRPCTransport

/// Records the calls of the loop; a test may say what it does at a message.
final class RecordingHandler: RPCHandler {
    unowned(unsafe) var loop: RPCLoop!
    var messages: [[UInt8]] = []
    /// Calls of the other methods, in order.
    var events: [String] = []
    /// Of every call that was admitted, in order.
    var tokens: [CallToken] = []
    /// Of every call that was admitted, in order; empty: none.
    var credentials: [[UInt8]] = []
    /// Of the newest call.
    var token: CallToken? { self.tokens.last }
    var onBeforeSleep: () -> Void = {}
    var onMessage: (RPCCall) -> Void = { _ in }
    var onWritable: (CallToken) -> Void = { _ in }

    /// Tokens of calls that have ended, of those that were admitted as `.counted`.
    var endedTokens: [CallToken] = []
    var endedCodes: [RPCStatusCode] = []
    /// Every call that has ended, if the loop was told to report them.
    var ends: [EndedCall] = []
    /// The connections that are gone, by their slots.
    var closedSlots: [Int] = []
    var onAdmit: (RPCCall) -> RPCAdmission = { _ in .accepted }

    func admit(_ call: RPCCall, credentials: UnsafeRawBufferPointer) -> RPCAdmission {
        self.tokens.append(call.token)
        self.credentials.append(Array(credentials))
        return self.onAdmit(call)
    }

    func callEnded(_ token: CallToken, _ code: RPCStatusCode) {
        self.endedTokens.append(token)
        self.endedCodes.append(code)
    }
    func ended(_ call: EndedCall) { self.ends.append(call) }
    func traceSeed() -> UInt64 { 1 }
    func connectionClosed(slot: Int) { self.closedSlots.append(slot) }

    func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        self.messages.append(Array(message))
        self.onMessage(call)
    }

    func messageTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        self.events.append("too large: \(bytes) of \(maximum)")
        return RPCStatus(.resourceExhausted, "")
    }

    /// What it says to requests that have failed.
    var onRequestsFailed: (RPCCall, RPCStatus) -> Bool = { _, _ in false }

    func requestsFailed(of call: RPCCall, with status: RPCStatus) -> Bool {
        self.onRequestsFailed(call, status)
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
