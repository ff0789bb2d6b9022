import ProfileClient
import TestSupport

/// A client that writes to nodes that do not lead: none of them may say OK.
///
/// The node of a probe did not lead when the request was sent, and nobody was elected until the
/// response came; so it cannot have led in between, whatever it believed itself.
final class FollowerProbe: SimulatedActor {
    private struct Probe {
        let client: WireClient
        let call: WireCall
        let node: Int
        let epoch: UInt64
    }

    /// From the end of a probe to the next, in nanoseconds.
    private static let restNanoseconds: UInt64 = 50_000_000

    let name = "follower-probe"
    private let topology: ReplicatedTopology
    private var probe: Probe?
    private var restUntil: UInt64 = 0
    private var next = 0
    /// Probes that were rejected because another node leads.
    private(set) var rejections = 0

    init(_ topology: ReplicatedTopology) {
        self.topology = topology
    }

    var isIdle: Bool { self.probe == nil }

    func turn(_ world: World) -> Bool {
        if let probe = self.probe {
            guard probe.call.hasEnded else { return false }
            self.evaluate(probe, world)
            probe.client.close()
            self.probe = nil
            self.restUntil = world.clock.monotonicNanoseconds() + Self.restNanoseconds
            return true
        }
        guard !world.isHealing, world.clock.monotonicNanoseconds() >= self.restUntil else {
            return false
        }
        return self.begin(world)
    }

    private func begin(_ world: World) -> Bool {
        self.next = (self.next + 1) % world.nodes.count
        guard self.topology.leader != self.next,
            let client = world.connect(to: self.next),
            let call = try? client.call(
                .admin("CreateProject"), ["project": "probe"])
        else { return false }
        self.probe = Probe(
            client: client, call: call, node: self.next, epoch: self.topology.epoch)
        return true
    }

    private func evaluate(_ probe: Probe, _ world: World) {
        if probe.call.reason == "NOT_LEADER" { self.rejections += 1 }
        guard probe.call.status == 0, self.topology.epoch == probe.epoch else { return }
        world.fail(
            Violation("leadership", "node \(probe.node) does not lead and has taken a write"))
    }
}
