// The seam between the transport and what is served: calls go up as `RPCCall`, responses come down
// by `CallToken`. Both sides run on the loop's thread; only `RPCLoop.wake` may be called from
// another.

/// gRPC status codes, with the numbers of the protocol.
package enum RPCStatusCode: UInt8, Sendable, CaseIterable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case internalError = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
}

/// How a call ends other than with one message and OK. Made on error paths only, so it may
/// allocate.
package struct RPCStatus: Equatable, Sendable {
    package var code: RPCStatusCode
    /// UTF-8 for a developer; percent-encoded and cut at 1,024 bytes on the wire.
    package var message: String
    /// A serialised `google.rpc.Status` for `grpc-status-details-bin`; empty: none.
    package var details: [UInt8]

    package init(_ code: RPCStatusCode, _ message: String, details: [UInt8] = []) {
        self.code = code
        self.message = message
        self.details = details
    }
}

/// Names one open call: loop, connection slot and generation, stream slot and generation.
///
/// A response to a call that has ended meanwhile finds another generation and is dropped and
/// counted, so it can never reach another client's stream.
package struct CallToken: Equatable, Sendable, BitwiseCopyable {
    package var loop: UInt32
    package var connectionSlot: UInt32
    package var connectionGeneration: UInt32
    package var streamSlot: UInt32
    package var streamGeneration: UInt32

    /// Index of the call among those of its loop: dense from 0, the same from `RPCHandler.admit` to
    /// the call's end, and no other call's until then. A table by slot finds what belongs to a call
    /// in O(1); comparing the whole token tells whether it is still this call.
    package var slot: Int { Int(self.streamSlot) }

    package init(
        loop: UInt32, connectionSlot: UInt32, connectionGeneration: UInt32, streamSlot: UInt32,
        streamGeneration: UInt32
    ) {
        self.loop = loop
        self.connectionSlot = connectionSlot
        self.connectionGeneration = connectionGeneration
        self.streamSlot = streamSlot
        self.streamGeneration = streamGeneration
    }
}

/// One method that is served: its path and its cardinality. Built once at start.
package struct RPCMethodDescriptor: Sendable {
    /// Such as `/profiles.v1.Profiles/Track`.
    package var path: String
    package var streamsRequests: Bool
    package var streamsResponses: Bool

    package init(path: String, streamsRequests: Bool = false, streamsResponses: Bool = false) {
        self.path = path
        self.streamsRequests = streamsRequests
        self.streamsResponses = streamsResponses
    }
}

/// What a handler learns of a call; valid for the call of the handler only.
package struct RPCCall {
    package var token: CallToken
    /// Index into the methods that the loop was made with.
    package var method: Int
    /// Monotonic nanoseconds after which the response is worthless; `UInt64.max`: no deadline.
    package var deadlineNanoseconds: UInt64

    package init(token: CallToken, method: Int, deadlineNanoseconds: UInt64) {
        self.token = token
        self.method = method
        self.deadlineNanoseconds = deadlineNanoseconds
    }
}

/// What becomes of a call, decided from its headers.
package enum RPCAdmission {
    case accepted
    /// Accepted, and `RPCHandler.callEnded` is called once, when the call has its status.
    case counted
    case rejected(RPCStatus)
    /// Rejected after `TransportLimits.rejectionDelayNanoseconds`, so that whoever guesses has to
    /// wait; its body is not kept meanwhile. Beyond `delayedRejectionsMax` it is reset, or its
    /// connection closed if no call of it was accepted.
    case rejectedLater(RPCStatus)
}

/// What is served on one loop. One instance per loop; called on the loop's thread only.
///
/// Budget of `receive` for a unary call: no allocation in the steady state.
package protocol RPCHandler: AnyObject {
    /// Headers are complete: whether the call is accepted or ends with a status. Called for every
    /// method, before any body is buffered, and before the handler may use the token otherwise. A
    /// call that is accepted ends exactly once: by the handler (`respond`, `finish`), or with
    /// `cancelled`.
    ///
    /// - Parameter credentials: Those of the headers as `authorization` has them, cut at
    ///   `TransportLimits.credentialsBytesMax`; empty: none, or several. Valid for this call only.
    func admit(_ call: RPCCall, credentials: UnsafeRawBufferPointer) -> RPCAdmission
    /// A call that was admitted as `.counted` has its status, whoever ended it. Once a call.
    func callEnded(_ token: CallToken, _ code: RPCStatusCode)
    /// A call has its status, whoever ended it; only if `CallObservation.reportsEnds`, then for
    /// every call, before `callEnded`.
    func ended(_ call: EndedCall)
    /// A random number, from which ids of traces follow. Once a loop, before the first is needed.
    func traceSeed() -> UInt64
    /// A connection is gone, its calls before it: what was kept for it may be forgotten.
    func connectionClosed(slot: Int)
    /// One whole message; a unary call gets exactly one. `message` is valid for this call only.
    func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall)
    /// A message is larger than messages may be: the status that its call ends with.
    func messageTooLarge(bytes: Int, maximum: Int) -> RPCStatus
    /// The headers of a request are larger than headers may be: the status that its call ends with.
    func headersTooLarge(bytes: Int, maximum: Int) -> RPCStatus
    /// Unfinished requests have used up what they may hold: the status that this one ends with.
    func tooManyUnfinishedRequests() -> RPCStatus
    /// Something is wrong with what a request stream has sent behind its last message, which the
    /// handler shall respond to before it ends the call with this status; nothing more will come.
    ///
    /// - Returns: Whether it will; false: the call has nothing to respond to, and ends now.
    func requestsFailed(of call: RPCCall, with status: RPCStatus) -> Bool
    /// The client of a request stream has sent its last message.
    func requestsEnded(of call: RPCCall)
    /// A message of this call was rejected as `.full`, and there is headroom again.
    func becameWritable(_ token: CallToken)
    /// The server ends: the handler shall end this call, a stream, with a status soon. Once a call.
    func drain(_ token: CallToken)
    /// The call ended otherwise than by the handler (reset, deadline, lost connection, malformed
    /// request); the token is already dead. Once a call.
    func cancelled(_ token: CallToken)
    /// Another thread called `wake`: completions may be waiting.
    func woken()
    /// All ready sockets of this tick are read, nothing has been written yet: hand batches over
    /// now.
    func beforeSleep()
}

extension RPCHandler {
    package func callEnded(_ token: CallToken, _ code: RPCStatusCode) {}
    package func ended(_ call: EndedCall) {}
    package func traceSeed() -> UInt64 { 0 }
    package func connectionClosed(slot: Int) {}
    package func requestsFailed(of call: RPCCall, with status: RPCStatus) -> Bool { false }

    package func messageTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        RPCStatus(
            .resourceExhausted, "a message of \(bytes) bytes, at most \(maximum) are allowed")
    }

    package func headersTooLarge(bytes: Int, maximum: Int) -> RPCStatus {
        RPCStatus(
            .resourceExhausted, "headers of \(bytes) bytes, at most \(maximum) are allowed")
    }

    package func tooManyUnfinishedRequests() -> RPCStatus {
        RPCStatus(.resourceExhausted, "too many bytes of unfinished requests wait")
    }
}
