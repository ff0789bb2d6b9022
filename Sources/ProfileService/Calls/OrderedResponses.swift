/// The responses of one stream in the order of its requests, whatever the order in which they
/// become ready.
///
/// Each request gets a ticket; tickets are consecutive, so the index of a response is a
/// subtraction.
struct OrderedResponses {
    private enum Response {
        case awaited
        /// Serialised, and not sent yet.
        case ready([UInt8])
    }

    /// From `head` on: one for each request whose response is not sent.
    private var responses: [Response] = []
    private var head = 0
    private var headTicket: UInt64 = 1
    /// Bytes of responses that are ready.
    private(set) var readyBytes = 0

    /// Requests whose responses are not sent.
    var count: Int { self.responses.count - self.head }

    /// The oldest request's response, if it is ready.
    var next: [UInt8]? {
        guard self.head < self.responses.count, case .ready(let bytes) = self.responses[self.head]
        else { return nil }
        return bytes
    }

    /// Takes a request in.
    ///
    /// - Returns: Its ticket, never 0.
    mutating func begin() -> UInt64 {
        self.responses.append(.awaited)
        return self.headTicket + UInt64(self.count) - 1
    }

    /// Whether this request is the oldest: its response may be sent without being kept.
    func isOldest(_ ticket: UInt64) -> Bool { ticket == self.headTicket && self.count > 0 }

    /// Keeps a response until it is its turn.
    ///
    /// - Precondition: `ticket` came from `begin` and has no response yet.
    mutating func keep(_ bytes: UnsafeRawBufferPointer, for ticket: UInt64) {
        let index = self.head + Int(ticket - self.headTicket)
        guard case .awaited = self.responses[index] else {
            preconditionFailure("a request has one response")
        }
        self.responses[index] = .ready(Array(bytes))
        self.readyBytes += bytes.count
    }

    /// Drops the newest requests, up to the last one whose response is ready: they get none.
    mutating func dropAwaited() {
        while self.count > 0, case .awaited = self.responses[self.responses.count - 1] {
            self.responses.removeLast()
        }
    }

    /// The oldest request's response was sent.
    mutating func sent() {
        if case .ready(let bytes) = self.responses[self.head] { self.readyBytes -= bytes.count }
        self.responses[self.head] = .awaited
        self.head += 1
        self.headTicket += 1
        // Moved down once half of it is used up: O(1) per response.
        guard self.head * 2 >= self.responses.count else { return }
        self.responses.removeFirst(self.head)
        self.head = 0
    }
}
