import ProfileClient

/// What a client saw of one call, at the step at which it saw it.
package enum HistoryEvent {
    case invoked(CallRecord)
    case ended(CallRecord)
}

/// One call of the workload, from its begin to its end.
package final class CallRecord {
    /// What its client knows of it.
    package enum Outcome: Equatable {
        case open
        /// Trailers came: the status, and the reason of its details.
        case answered(status: Int32, reason: String)
        /// It was cut off, or its status leaves open whether it was done.
        case unknown
    }

    /// In the order of the run, 1-based.
    package let number: Int
    /// Name of the actor.
    package let client: String
    package let method: String
    package let request: JSONValue
    package let invokedStep: Int
    package internal(set) var endedStep: Int?
    package internal(set) var outcome = Outcome.open
    package internal(set) var responses: [JSONValue] = []

    package init(
        number: Int, client: String, method: String, request: JSONValue, invokedStep: Int
    ) {
        self.number = number
        self.client = client
        self.method = method
        self.request = request
        self.invokedStep = invokedStep
    }
}
