import IOSimulation
import ProfileClient
import TestSupport

/// Imports people chunk by chunk, and sends a chunk again until it was acknowledged.
final class ImportActor: StreamActor {
    /// Operations of a chunk; more than one part of it.
    private static let operationsMax = 9
    private static let chunksPerStreamMax = 4

    private let number: Int
    private var chunk = 0
    private var chunksOnStream = 0
    private var isSent = false
    private var isHalfClosed = false
    /// The chunk without a response.
    private var current: (operation: Operation, request: JSONValue, count: Int)?

    init(_ name: String, _ number: Int, project: Int, _ history: History, key: String, seed: UInt64)
    {
        self.number = number
        super.init(name, project: project, history, key: key, seed: seed)
    }

    override var isIdle: Bool { self.call == nil && self.current == nil }

    static let people = 3

    static func person(_ number: Int, _ index: Int, _ project: Int) -> PersonKey {
        PersonKey(project, "import\(number)-\(index)")
    }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        if self.isEnding, self.current == nil { return nil }
        self.isSent = false
        self.isHalfClosed = false
        self.chunksOnStream = 0
        return try? client.open(.profiles("ImportProfiles"))
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        guard !self.isHalfClosed, !self.isSent else { return false }
        if self.current == nil {
            if self.isEnding || self.chunksOnStream >= Self.chunksPerStreamMax {
                client.finishRequests(of: call)
                self.isHalfClosed = true
                return true
            }
            self.makeChunk()
        }
        guard let current = self.current else { return false }
        do { try client.send(current.request, on: call) } catch {
            preconditionFailure("ImportProfiles: \(error) in \(current.request)")
        }
        self.isSent = true
        self.chunksOnStream += 1
        return true
    }

    private func makeChunk() {
        self.chunk += 1
        let marker = Projects.marker(self.project)
        var units: [WriteUnit] = []
        var operations: [JSONValue] = []
        for index in 0 ... self.random.below(Self.operationsMax) {
            let person = Self.person(self.number, self.random.below(Self.people), self.project)
            let unit =
                self.random.below(3) == 0
                ? WriteUnit(person, value: self.chunk * Self.operationsMax + index + 1)
                : WriteUnit(person, events: ["i\(self.number)-\(self.chunk)-\(index)"])
            units.append(unit)
            operations += Requests.operations(unit, marker: marker)
        }
        // A machine's opt-in, which undoes no opt-out.
        let name = ConsentScript.name(0, self.random.below(ConsentScript.people))
        operations.append([
            "update_subscription": [
                "identifier": Requests.custom(name), "source": "import",
                "changes": [["channel": "email", "state": "subscribed"]],
            ]
        ])
        let request: JSONValue = [
            "project": Requests.project(self.project),
            "chunk_id": "chunk\(self.number)-\(self.chunk)", "operations": .array(operations),
        ]
        let operation = self.history.invoke(
            self.name, self.project, "ImportProfiles", request, .writeEach(units))
        self.current = (operation, request, operations.count)
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        guard let current = self.current, self.isSent else {
            self.history.report("an import has a response without a chunk")
            return
        }
        self.history.respond(current.operation, message, bytes)
        let sum = ["applied", "unchanged", "rejected"].reduce(0) { $0 + message[$1].count }
        if sum != UInt64(current.count)
            || message["chunk_id"] != current.operation.request["chunk_id"]
        {
            self.history.report("\(current.count) operations, the response is \(message)")
        }
        // Each of the others changes something, once: an operation that was done before a crash and
        // again behind it would count as unchanged. A machine's opt-in may change nothing.
        if message["rejected"].count + message["unchanged"].count > 1 {
            self.history.report("an import rejects or repeats what is new: \(message)")
        }
        self.history.end(current.operation, .ok)
        self.current = self.again(current.operation, current.request, current.count)
        self.isSent = false
    }

    /// Sometimes the same chunk once more: nothing is done, and the first counts come again.
    private func again(
        _ operation: Operation, _ request: JSONValue, _ count: Int
    ) -> (operation: Operation, request: JSONValue, count: Int)? {
        if case .again = operation.purpose { return nil }
        guard !self.isEnding, self.random.below(4) == 0 else { return nil }
        let again = self.history.invoke(
            self.name, self.project, "ImportProfiles", request, .again(operation))
        return (again, request, count)
    }

    override func ended(_ outcome: Outcome) {
        guard let current = self.current, self.isSent else { return }
        if case .rejected(let status, let reason) = outcome, !outcome.isTransient {
            self.history.end(current.operation, .rejected(status: status, reason: reason))
            self.current = nil
        } else {
            self.history.lose(current.operation)
        }
        self.isSent = false
    }
}
