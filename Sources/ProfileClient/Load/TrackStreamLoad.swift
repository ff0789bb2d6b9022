/// A load of TrackStream calls on one thread: each stream keeps some messages under way, each of
/// which is a Track of one person with one or more events, and counts what its responses say of
/// them.
package struct TrackStreamLoad {
    package var address: ServerAddress
    package var project = "default"
    /// Sent as `authorization: Bearer KEY`; `nil`: none.
    package var key: String?
    package var connections = 1
    /// Streams on each connection.
    package var streams = 8
    /// Events of a message, 1 to `eventsPerMessageMax`.
    package var eventsPerMessage = 1
    /// Messages of a stream without a response.
    package var messagesInFlight = 100
    /// Total number of events, rounded up to whole messages; `nil`: until `seconds` have passed.
    package var events: Int? = 1_000_000
    package var seconds: Double?
    /// Number of custom IDs, used as `Load` does.
    package var ids = 100_000

    /// Of the contract: events of a Track.
    package static let eventsPerMessageMax = 15
    /// Longest wait for responses after the last message was sent, in nanoseconds.
    private static let drainNanoseconds: UInt64 = 10_000_000_000
    private static let waitNanoseconds: UInt64 = 100_000_000

    package init(_ address: ServerAddress) {
        self.address = address
    }

    /// The measurements of a load.
    package struct Report {
        /// Events that are durable and new.
        package var stored = 0
        /// Events that were duplicates or rejected.
        package var others = 0
        /// Messages with a response.
        package var messages = 0
        /// Of those, the ones that failed as a whole.
        package var failures = 0
        package var seconds = 0.0
        /// From handing a message over for sending to its response.
        package var latencies = LatencyHistogram()
        /// Streams by gRPC status number; -1: no status, or it had not ended in time.
        package var statuses: [Int32: Int] = [:]
    }

    /// Runs it on this thread.
    ///
    /// - Throws: If the server cannot be reached, or ends a connection.
    package func run() throws(ClientError) -> Report {
        var connections = LoadConnections(self.address)
        let source = TrackMessageSource(self)
        var streams: [TrackStreamOfLoad] = []
        for number in 0 ..< self.connections {
            try connections.add { _, _ in }
            for _ in 0 ..< self.streams {
                let stream = TrackStreamOfLoad(source, key: self.key, self.messagesInFlight)
                try connections[number].start(stream.call)
                streams.append(stream)
            }
        }
        let begin = ClientClock.nanoseconds()
        var now = begin
        var lastSent = begin
        while !streams.allSatisfy(\.call.hasEnded), now - lastSent < Self.drainNanoseconds {
            let isOver = self.seconds.map { Double(now - begin) / 1e9 >= $0 } ?? false
            if isOver { source.finish() }
            for (index, stream) in streams.enumerated()
            where stream.send(on: connections[index / self.streams], at: now) {
                lastSent = now
            }
            try connections.turn()
            // Responses of this turn let their streams send more, which nothing would wake for.
            let isWaiting =
                streams.contains { !$0.call.hasEnded } && !streams.contains { $0.maySend }
            if isWaiting { connections.wait(nanoseconds: Self.waitNanoseconds) }
            now = ClientClock.nanoseconds()
        }
        var report = Report(seconds: Double(now - begin) / 1e9)
        for stream in streams { stream.add(to: &report) }
        return report
    }
}

/// The messages of all streams of a load, in the order in which they are sent.
private final class TrackMessageSource {
    private let template: LoadTemplate
    private let ids: Int
    /// Messages that are still to be sent; `nil`: until `finish`.
    private var left: Int?
    private var sent = 0

    init(_ load: TrackStreamLoad) {
        self.template = LoadTemplate(
            .track, project: load.project, ids: load.ids, projects: nil,
            events: load.eventsPerMessage)
        self.ids = load.ids
        self.left = load.events.map {
            ($0 + load.eventsPerMessage - 1) / load.eventsPerMessage
        }
    }

    var isAtEnd: Bool { self.left == 0 }

    func finish() { self.left = 0 }

    /// Appends the next messages, framed.
    ///
    /// - Returns: How many there were.
    func append(atMost limit: Int, to output: inout [UInt8]) -> Int {
        let count = min(limit, self.left ?? limit)
        for _ in 0 ..< count {
            self.template.append(person: LoadPeople.person(self.sent, of: self.ids), to: &output)
            self.sent += 1
        }
        self.left = self.left.map { $0 - count }
        return count
    }
}

/// One stream of a load.
private final class TrackStreamOfLoad {
    let call = ClientCall(keepsResponse: false)
    private let source: TrackMessageSource
    private let inFlightMax: Int
    private var splitter = MessageSplitter()
    private var counts = TrackResponseCounts()
    private var latencies = LatencyHistogram()
    private var responses = 0
    /// When the messages without a response were handed over, a ring: responses come in order.
    private var sentAt: [UInt64]
    private var sent = 0
    private var output: [UInt8] = []
    private var hasFinished = false

    init(_ source: TrackMessageSource, key: String?, _ inFlightMax: Int) {
        self.source = source
        self.inFlightMax = inFlightMax
        self.sentAt = [UInt64](repeating: 0, count: inFlightMax)
        self.call.path = Array(RPCMethod.profiles("TrackStream").path.utf8)
        if let key { self.call.metadata = [("authorization", Array("Bearer \(key)".utf8))] }
        self.call.isBodyOpen = true
        // The call belongs to the stream.
        self.call.onData = { [unowned self] in self.receive($0) }
    }

    /// Whether it has messages to send, or its end, and fewer than its most under way.
    var maySend: Bool {
        !self.call.hasEnded && !self.hasFinished
            && (self.source.isAtEnd || self.sent - self.responses < self.inFlightMax)
    }

    /// Hands over as many messages as may be under way, and the end behind the last one.
    ///
    /// - Returns: Whether there was anything to send.
    func send(on connection: ClientConnection, at now: UInt64) -> Bool {
        guard self.maySend else { return false }
        self.output.removeAll(keepingCapacity: true)
        let free = self.inFlightMax - (self.sent - self.responses)
        let count = self.source.append(atMost: free, to: &self.output)
        for number in self.sent ..< self.sent + count {
            self.sentAt[number % self.inFlightMax] = now
        }
        self.sent += count
        self.hasFinished = self.source.isAtEnd
        connection.extend(self.call, with: self.output, isLast: self.hasFinished)
        return true
    }

    private func receive(_ chunk: UnsafeRawBufferPointer) {
        let now = ClientClock.nanoseconds()
        self.splitter.receive(chunk) { message in
            self.counts.add(message)
            // More responses than messages are counted, and make the load fail.
            if self.responses < self.sent {
                self.latencies.record(now - self.sentAt[self.responses % self.inFlightMax])
            }
            self.responses += 1
        }
    }

    func add(to report: inout TrackStreamLoad.Report) {
        report.stored += self.counts.stored
        report.others += self.counts.others
        report.messages += self.responses
        report.failures += self.counts.failures + abs(self.sent - self.responses)
        report.latencies.add(self.latencies)
        let status = self.call.hasEnded ? self.call.status : -1
        report.statuses[status, default: 0] += 1
    }
}
