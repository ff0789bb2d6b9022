import IOSimulation
import ProfileClient
import TestSupport

/// Identifies, tracks and reads a few people, one call at a time.
final class SimpleClient: SimulatedActor {
    /// Simulated time after which it gives a call up, in nanoseconds.
    private static let patienceNanoseconds: UInt64 = 5_000_000_000

    let name: String
    private var random: SeededRandom
    private var client: WireClient?
    private var open: (call: WireCall, record: CallRecord, givenUpAt: UInt64)?

    init(number: Int, seed: UInt64) {
        self.name = "client-\(number)"
        self.random = RandomStream.clients.random(of: seed, number)
    }

    var isIdle: Bool { self.open == nil }

    func turn(_ world: World) -> Bool {
        if let open = self.open {
            let now = world.clock.monotonicNanoseconds()
            guard open.call.hasEnded || now >= open.givenUpAt else { return false }
            self.end(open.call, open.record, world)
            return true
        }
        guard !world.isHealing else { return false }
        if self.client?.isClosed ?? true { self.client = world.connect() }
        guard let client = self.client else { return false }
        let (method, text) = self.choose(world)
        guard let request = try? JSONParser.parse(text.utf8),
            let call = try? client.call(.profiles(method), request)
        else { preconditionFailure("requests of the workload can be encoded") }
        let record = CallRecord(
            number: world.takeCallNumber(), client: self.name, method: method, request: request,
            invokedStep: world.stepNumber)
        self.open = (
            call, record, world.clock.monotonicNanoseconds() + Self.patienceNanoseconds
        )
        world.record(.invoked(record))
        return true
    }

    private func end(_ call: WireCall, _ record: CallRecord, _ world: World) {
        record.endedStep = world.stepNumber
        if call.hasEnded, let status = call.status {
            record.responses = call.responses
            record.outcome = .answered(status: status, reason: call.reason)
        } else {
            record.outcome = .unknown
            self.client?.close()
        }
        self.open = nil
        world.record(.ended(record))
    }

    private func choose(_ world: World) -> (method: String, request: String) {
        let person = #""identifier":{"custom_id":"p\#(self.random.below(6))"}"#
        switch self.random.below(4) {
        case 0:
            return (
                "Identify",
                #"{"project":"default","custom_id":"p\#(self.random.below(6))","#
                    + #""attributes":{"set":{"n":\#(self.random.below(100))}}}"#
            )
        case 1: return ("GetProfile", #"{"project":"default",\#(person)}"#)
        default:
            return (
                "Track",
                #"{"project":"default",\#(person),"#
                    + #""events":[{"name":"visit","event_id":"e\#(self.random.below(1_000))"}]}"#
            )
        }
    }
}
