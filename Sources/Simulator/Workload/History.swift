import ProfileClient

/// One person as the checkers know them: the project's index and the custom ID.
package struct PersonKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var project: Int
    package var name: String

    package init(_ project: Int, _ name: String) {
        self.project = project
        self.name = name
    }

    package static func < (left: PersonKey, right: PersonKey) -> Bool {
        (left.project, left.name) < (right.project, right.name)
    }

    package var description: String { "\(Projects.name(self.project))/\(self.name)" }
}

/// What one atomic write does to one person.
package struct WriteUnit: Sendable {
    package var person: PersonKey
    /// The value of the attributes `n` and `twin`, which are always set together; 0: not set.
    package var value = 0
    /// Ids of events, which are stored together.
    package var events: [String] = []
    /// Whether they are named `visit`, for which the triggers of the workload fire, and are not
    /// historical.
    package var fires = false

    package init(
        _ person: PersonKey, value: Int = 0, events: [String] = [], fires: Bool = false
    ) {
        self.person = person
        self.value = value
        self.events = events
        self.fires = fires
    }
}

/// What a call is for, so that checkers need not guess it from the request.
package enum Purpose: Sendable {
    /// Nothing that is checked beyond what holds for every call.
    case other
    /// One atomic write of all units: whole or not at all.
    case write([WriteUnit])
    /// A message whose units are atomic each by itself, such as the operations of an import.
    case writeEach([WriteUnit])
    /// Shows people as they are.
    case read([PersonKey])
    /// Shows all events of a person.
    case readEvents(PersonKey)
    /// The same request again, long after its response: the first one must come again.
    case again(Operation)
    /// Erases whoever is written with the marker in every text.
    case erase(marker: String)
    /// Changes consent of a person whose calls have one owner, who makes them one by one.
    case consent(PersonKey)
    /// Shows consent of such a person.
    case readConsent(PersonKey)
    /// Shows a person all of whose writes are settled: exactly these numbers as attributes.
    case readExactly(PersonKey, [String: Int])
    /// Ends with one of these statuses, if with any.
    case expect([Int32])
    /// Asks whether the person may be sent to, whose address has bounced, or has not; `nil`: not
    /// known.
    case sendable(PersonKey, isSuppressed: Bool?)
    /// Follows the feed of a project from a position on; 0: from now.
    case watch(from: UInt64)
    /// Takes firings of a trigger.
    case consume(trigger: String)
    /// Acknowledges firings: settled once the call has ended with OK.
    case settle(trigger: String, firings: [String])
    /// Exports a project from its beginning to its end, at the end of the run.
    case exportAll
}

/// How a call has ended.
package enum Outcome: Equatable, Sendable {
    case ok
    /// The server has responded that it did nothing.
    case rejected(status: Int32, reason: String)
    /// Sent, and no response says what became of it.
    case unknown
}

/// One call of the workload, with all of its attempts: a call that is made again until its outcome
/// is known is one operation.
// SAFETY: a world and all that lives in it are used by one thread.
package final class Operation: @unchecked Sendable {
    package let number: Int
    package let client: String
    /// Index of the project; -1: none.
    package let project: Int
    /// Such as `Track` or `Admin.CreateKey`.
    package let method: String
    package let request: JSONValue
    package let purpose: Purpose
    /// When the first attempt began; times are numbers of events of the history.
    package let invokedAt: Int
    package internal(set) var endedAt: Int?
    package internal(set) var outcome: Outcome?
    /// Of the last message.
    package internal(set) var response: JSONValue?

    package init(
        number: Int, client: String, project: Int, method: String, request: JSONValue,
        purpose: Purpose, invokedAt: Int
    ) {
        self.number = number
        self.client = client
        self.project = project
        self.method = method
        self.request = request
        self.purpose = purpose
        self.invokedAt = invokedAt
    }
}

/// One thing that a client did or saw.
package struct HistoryEvent {
    package enum Kind {
        case invoked
        /// A message, as JSON and as it came.
        case responded(JSONValue, [UInt8])
        case ended(Outcome)
        /// An attempt whose outcome is not known; the operation goes on.
        case lost
    }

    /// Larger with each event.
    package let time: Int
    package let operation: Operation
    package let kind: Kind
}

/// All calls of a run in one order: what the checkers see of the clients.
package final class History {
    private var time = 0
    private var operations = 0
    private let onEvent: (HistoryEvent) -> Void
    /// The greatest lsn of each project that a response to a write named.
    package private(set) var acknowledgedLSN = [UInt64](repeating: 0, count: Projects.count)

    /// The greatest lsn that any response has named.
    package private(set) var newestLSN: UInt64 = 0

    /// Writes of events and values that have ended. Once a world is at rest it grows no more.
    private(set) var writesEnded = 0

    /// What clients found wrong themselves, such as a response that no request asked for; the
    /// first of it.
    package private(set) var complaint: String?

    /// - Parameter onEvent: Gets each event, in order.
    package init(onEvent: @escaping (HistoryEvent) -> Void) {
        self.onEvent = onEvent
    }

    package func invoke(
        _ client: String, _ project: Int, _ method: String, _ request: JSONValue,
        _ purpose: Purpose
    ) -> Operation {
        self.operations += 1
        self.time += 1
        let operation = Operation(
            number: self.operations, client: client, project: project, method: method,
            request: request, purpose: purpose, invokedAt: self.time)
        self.onEvent(HistoryEvent(time: self.time, operation: operation, kind: .invoked))
        return operation
    }

    package func respond(_ operation: Operation, _ response: JSONValue, _ bytes: [UInt8]) {
        self.time += 1
        self.newestLSN = max(self.newestLSN, response["lsn"].count)
        operation.response = response
        self.onEvent(
            HistoryEvent(
                time: self.time, operation: operation, kind: .responded(response, bytes)))
    }

    /// An attempt has ended without a response.
    package func lose(_ operation: Operation) {
        self.time += 1
        self.onEvent(HistoryEvent(time: self.time, operation: operation, kind: .lost))
    }

    package func end(_ operation: Operation, _ outcome: Outcome) {
        precondition(operation.outcome == nil, "an operation ends once")
        self.time += 1
        operation.endedAt = self.time
        operation.outcome = outcome
        if outcome == .ok { self.noteLSN(of: operation) }
        if case .write = operation.purpose { self.writesEnded += 1 }
        self.onEvent(HistoryEvent(time: self.time, operation: operation, kind: .ended(outcome)))
    }

    package func report(_ complaint: String) {
        if self.complaint == nil { self.complaint = complaint }
    }

    private func noteLSN(of operation: Operation) {
        guard operation.project >= 0, let lsn = operation.response?["lsn"]?.integer else { return }
        self.acknowledgedLSN[operation.project] = max(
            self.acknowledgedLSN[operation.project], UInt64(lsn))
    }
}

extension Operation {
    /// Whether it is a stream that ends only when its client or its server goes.
    var isLasting: Bool {
        switch self.purpose {
        case .watch, .consume: true
        default: false
        }
    }
}
