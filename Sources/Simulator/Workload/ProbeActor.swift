import IOSimulation
import ProfileClient
import TestSupport

/// Watches the health of the server, and asks its reflection: the calls that need no key and say
/// nothing of profiles.
final class ProbeActor: StreamActor {
    private static let silenceNanoseconds: UInt64 = 60_000_000_000

    private var operation: Operation?
    private var turns = 0

    override var isIdle: Bool { true }
    /// The health of a server that stays healthy is one message.
    override var patienceNanoseconds: UInt64 { Self.silenceNanoseconds }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        guard !self.isEnding else { return nil }
        let method: RPCMethod
        switch self.random.below(3) {
        case 0: method = .healthWatch
        case 1: method = .reflection(isAlpha: false)
        default: method = .reflection(isAlpha: true)
        }
        let isHealth = method.path.hasSuffix("Watch")
        let request: JSONValue = isHealth ? [:] : ["list_services": "*"]
        self.turns = 0
        let name = String(method.path.dropFirst())
        self.operation = self.history.invoke(
            self.name, -1, name, request, .consume(trigger: ""))
        return try? client.call(method, request)
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        if let operation = self.operation { self.history.respond(operation, message, bytes) }
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        self.turns += 1
        guard self.isEnding || self.turns > 20 else { return false }
        self.cancel(world)
        return true
    }

    override func ended(_ outcome: Outcome) {
        if let operation = self.operation { self.history.end(operation, outcome) }
        self.operation = nil
    }
}
