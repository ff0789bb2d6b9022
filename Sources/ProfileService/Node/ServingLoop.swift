import GRPCTransport
import IOCore

/// A network loop, what it serves, and where its responses come back from other components.
final class ServingLoop: Steppable {
    let loop: RPCLoop
    let mailbox: CompletionMailbox
    /// Bound address with its real port.
    let address: String
    /// The loop does not retain its handler.
    let handler: ServiceLoop
    private let onEvent: @Sendable (NodeEvent) -> Void
    private var hasStarted = false
    private var hasEnded = false

    /// - Throws: What the network says when it cannot make a poller.
    init(
        index: Int, listener: any ListeningSocket, environment: NodeEnvironment,
        state: ServingState, health: HealthRegistry
    ) throws(IOError) {
        let configuration = environment.configuration
        let poller = try environment.network.makePoller()
        self.address = listener.address
        self.onEvent = environment.onEvent
        self.loop = RPCLoop(
            index: index, listener: listener, poller: poller, clock: environment.clock,
            methods: RPCTable.served(reflection: configuration.hasReflection).map(\.descriptor),
            limits: configuration.transport.share(ofLoops: configuration.loops),
            registry: environment.peers, observation: environment.observers.ofTransport)
        self.mailbox = CompletionMailbox { poller.wake() }
        self.handler = ServiceLoop(
            index: index, transport: self.loop, state: state, mailbox: self.mailbox,
            health: health, random: environment.random, access: environment.access,
            projectDeleteSeconds: configuration.projectDeleteSeconds,
            streamLimits: configuration.streams, observers: environment.observers)
        self.loop.handler = self.handler
    }

    func step() -> NextStep {
        guard !self.hasEnded else { return .ended }
        if !self.hasStarted {
            self.hasStarted = true
            do throws(IOError) { try self.loop.start() } catch {
                self.onEvent(.loopFailed(error))
                self.hasEnded = true
                return .ended
            }
        }
        let next = self.loop.step()
        if next == .ended {
            self.hasEnded = true
            self.loop.finish()
        }
        return next
    }

    /// Once, when every component of the node has ended.
    func close() { self.handler.finish() }
}
