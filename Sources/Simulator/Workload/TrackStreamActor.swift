import IOSimulation
import ProfileClient
import TestSupport

/// Sends events through TrackStream, several requests ahead of their responses, and sends what was
/// not acknowledged again when the stream breaks.
final class TrackStreamActor: StreamActor {
    /// Requests under way at most, and how many one stream has.
    private static let inFlightMax = 5
    private static let perStreamMax = 12

    private struct Sent {
        let operation: Operation
        let sequence: Int
        let request: JSONValue
    }

    private let number: Int
    private var sequence = 0
    private var sentOnStream = 0
    private var isHalfClosed = false
    /// Without a response, in order; the first `onStream` of them are on this stream.
    private var outstanding: [Sent] = []
    private var onStream = 0
    /// The server takes no writes now, such as one that does not lead: another may.
    private var isMisdirected = false

    init(_ name: String, _ number: Int, project: Int, _ history: History, key: String, seed: UInt64)
    {
        self.number = number
        super.init(name, project: project, history, key: key, seed: seed)
    }

    override var isIdle: Bool { self.call == nil && self.outstanding.isEmpty }

    static func person(_ number: Int, _ project: Int) -> PersonKey {
        PersonKey(project, "stream-\(number)")
    }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        if self.isEnding, self.outstanding.isEmpty { return nil }
        self.sentOnStream = 0
        self.onStream = 0
        self.isHalfClosed = false
        self.isMisdirected = false
        return try? client.open(.profiles("TrackStream"))
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        if self.isMisdirected {
            self.abandon(world)
            return true
        }
        guard !self.isHalfClosed else { return false }
        // What an earlier stream left comes first, in its order.
        if self.onStream < self.outstanding.count {
            self.send(self.outstanding[self.onStream].request, client, call)
            return true
        }
        if self.isEnding || self.sentOnStream >= Self.perStreamMax {
            client.finishRequests(of: call)
            self.isHalfClosed = true
            return true
        }
        guard self.outstanding.count < Self.inFlightMax else { return false }
        self.outstanding.append(self.makeNext())
        self.send(self.outstanding[self.onStream].request, client, call)
        return true
    }

    override func ended(_ outcome: Outcome) {
        guard case .rejected(let status, let reason) = outcome, !outcome.isTransient else { return }
        self.history.report("a TrackStream has ended with status \(status) \(reason)")
    }

    private func makeNext() -> Sent {
        self.sequence += 1
        let events = (0 ... self.random.below(3)).map { "t\(self.number)-\(self.sequence)-\($0)" }
        let unit = WriteUnit(
            Self.person(self.number, self.project), events: events,
            fires: self.random.below(2) == 0)
        let request = Requests.track(unit, marker: Projects.marker(self.project)).adding([
            ("project", Requests.project(self.project)), ("sequence", .of(self.sequence)),
        ])
        let operation = self.history.invoke(
            self.name, self.project, "TrackStream", request, .write([unit]))
        return Sent(operation: operation, sequence: self.sequence, request: request)
    }

    private func send(_ request: JSONValue, _ client: WireClient, _ call: WireCall) {
        do { try client.send(request, on: call) } catch {
            preconditionFailure("TrackStream: \(error) in \(request)")
        }
        self.onStream += 1
        self.sentOnStream += 1
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        guard let first = self.outstanding.first, self.onStream > 0 else {
            self.history.report("a TrackStream has a response without a request")
            return
        }
        guard message["sequence"].count == UInt64(first.sequence) else {
            self.history.report(
                "sequence \(message["sequence"].count) where \(first.sequence) is next")
            return
        }
        self.history.respond(first.operation, message, bytes)
        if let error = message["error"], (error["code"]?.integer ?? 0) != 0 {
            let failure = RPCFailure(status: error)
            // Another attempt follows on the next stream, from this request on.
            if [8, 14].contains(failure.code) {
                self.history.lose(first.operation)
                self.isMisdirected = true
                self.outstanding.removeFirst()
                self.outstanding.append(first)
                self.onStream -= 1
                return
            }
            self.history.end(
                first.operation, .rejected(status: failure.code, reason: failure.reason))
        } else {
            self.history.end(first.operation, .ok)
        }
        self.outstanding.removeFirst()
        self.onStream -= 1
    }
}
