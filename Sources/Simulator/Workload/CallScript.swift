import IOSimulation
import ProfileClient
import TestSupport

/// A unary call, or one with a single request whose responses stream to an end, that a script
/// wants to be made.
struct PlannedCall {
    /// Such as `Track`, `Admin.CreateKey` or `Health.Check`.
    var method: String
    /// Index of the project; -1: none.
    var project: Int
    var request: JSONValue
    var purpose = Purpose.other
    /// Whether it is made again until its outcome is known.
    var isRepeated = false
    /// The key that it is made with; `nil`: its client's.
    var key: String?

    init(
        _ method: String, _ project: Int, _ request: JSONValue, _ purpose: Purpose = .other,
        repeated isRepeated: Bool = false
    ) {
        self.method = method
        self.project = project
        self.request = request
        self.purpose = purpose
        self.isRepeated = isRepeated
    }
}

extension PlannedCall {
    /// Reads that take `min_lsn`.
    private static let readsAtPosition: Set<String> = [
        "GetProfile", "BatchGetProfiles", "ListEvents", "LookupProfiles", "CountProfiles",
        "ListProfiles", "CheckSendable",
    ]

    /// Whether it can ask for a position of the log.
    var hasPosition: Bool { Self.readsAtPosition.contains(self.method) }
}

/// What one client does, call by call.
protocol CallScript: AnyObject {
    /// The next call; `nil`: nothing to do now.
    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall?
    /// Takes the end of the last call.
    ///
    /// - Parameter response: The last message, if there was one.
    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?)
    /// Whether a run must wait for what the script has begun, besides its open call.
    var isBusy: Bool { get }
}

extension CallScript {
    var isBusy: Bool { false }
    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {}
}

extension RPCMethod {
    /// By the name that the history uses.
    static func named(_ name: String) -> RPCMethod {
        if name == "Health.Check" { return .healthCheck }
        let parts = name.split(separator: ".")
        return parts.count == 2 ? .admin(String(parts[1])) : .profiles(name)
    }
}

extension Outcome {
    /// Of a call whose stream has ended.
    ///
    /// A status that a server may give after the command entered the log, or that a rejection and a
    /// lost response have in common, says nothing: taking it as a rejection would be a false alarm.
    static func of(_ call: WireCall) -> Outcome {
        guard let status = call.status else { return .unknown }
        switch status {
        case 0: return .ok
        // CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE.
        case 1, 4, 14: return .unknown
        default: return .rejected(status: status, reason: call.reason)
        }
    }

    /// Whether another attempt may be served: a limit of the moment.
    var isTransient: Bool {
        guard case .rejected(let status, let reason) = self else { return self == .unknown }
        return status == 8 && ["RATE_EXCEEDED", "MEMORY_EXHAUSTED", ""].contains(reason)
    }
}
