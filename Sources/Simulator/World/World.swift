import IOSimulation
import ProfileService
import Profiles
import TestSupport

/// A process tree in a box: nodes with their disks, clocks and networks, the clients, and
/// everything that goes wrong. One thread, and one seeded choice after the other.
package final class World {
    /// Steps between two looks of the checkers at the nodes.
    package static let watchSteps = 64
    /// Connections of clients that are open at once: more would be a client that never closes any.
    static let clientsMax = 256

    package let plan: SimulationPlan
    package let settings: WorldSettings
    package let clock: SimulatedClock
    package let nodes: [SimulatedNode]
    package internal(set) var trace = Trace()
    /// Number of the step that runs, 0-based.
    package private(set) var stepNumber = 0
    /// No more faults strike, and everything must come to an end.
    package internal(set) var isHealing = false
    /// The first promise that was broken.
    package internal(set) var violation: Violation?
    package internal(set) var counts = RunCounts()
    /// Calls by their methods.
    package internal(set) var methods: [String: Int] = [:]

    let topology: any Topology
    private(set) var actors: [any SimulatedActor] = []
    private(set) var checkers: [any Checker] = []
    private(set) var clients: [WireClient] = []
    /// Chooses who runs.
    var order: SeededRandom
    /// Index of the next planned fault.
    var nextFault = 0
    /// What lasts for some steps.
    var effects: [Effect] = []
    /// Connections that hear nothing any more, by their nodes.
    var halfOpen: [(node: Int, connection: Int32)] = []
    /// A stretch of time is let pass.
    var isPassing = false
    /// The latest wall-clock time so far, in microseconds since 1970.
    var latestWallMicroseconds: Int64 = 0

    package init(_ plan: SimulationPlan) {
        self.plan = plan
        self.settings = WorldSettings(seed: plan.seed)
        self.clock = SimulatedClock()
        self.order = RandomStream.order.random(of: plan.seed)
        let topology = plan.scenario.makeTopology(plan, clock: self.clock)
        self.topology = topology
        self.nodes = (0 ..< topology.nodeCount).map { index in
            var random = RandomStream.lives.random(of: plan.seed, index)
            return SimulatedNode(
                index: index, disk: SimulatedDisk(seed: random.next(), isRecording: false))
        }
    }

    package func add(_ actor: any SimulatedActor) { self.actors.append(actor) }

    package func add(_ checker: any Checker) { self.checkers.append(checker) }

    /// The first promise that is broken ends the run.
    package func fail(_ violation: Violation) {
        if self.violation == nil { self.violation = violation }
    }

    /// Asks every checker.
    func check(_ body: (any Checker) throws(Violation) -> Void) {
        for checker in self.checkers {
            do throws(Violation) { try body(checker) } catch { self.fail(error) }
        }
    }

    // MARK: Clients

    /// Connects a client, which the world lets read and write from now on.
    ///
    /// - Parameters:
    ///   - key: Sent with every call; `nil`: none.
    ///   - node: `nil`: the one that clients believe to lead.
    ///   - host: Where the client is: the node counts connections for each.
    /// - Returns: `nil` while nobody listens.
    package func connect(
        key: String? = SimulatedKeys.operatorText, to node: Int? = nil,
        from host: String = "127.0.0.1"
    ) -> WireClient? {
        self.clients.removeAll(where: \.isClosed)
        let target = self.nodes[node ?? self.topology.preferredNode]
        guard self.clients.count < Self.clientsMax,
            let socket = target.network.connect(to: target.address, from: host)
        else { return nil }
        self.applyDelay(to: socket.descriptor, of: target)
        let clock = self.clock
        let client = WireClient(socket, now: { clock.wallMicroseconds() })
        if let key { client.metadata = [("authorization", "Bearer " + key)] }
        self.clients.append(client)
        return client
    }

    /// Writes down that something has happened.
    package func note(_ what: String, _ number: Int = 0) {
        self.trace.note(
            what, number, step: self.stepNumber, at: self.clock.monotonicNanoseconds())
    }

    /// Adds bytes, such as a file's, to the hash of the trace.
    func mix(_ bytes: [UInt8]) { self.trace.mix(bytes: bytes) }

    // MARK: Steps

    /// One seeded choice: faults that are due strike, then a component, a client, an actor or a
    /// process that has something to do runs; if none has, time passes.
    ///
    /// - Returns: Whether somebody had something to do.
    @discardableResult
    package func step() -> Bool {
        self.strikeDueFaults()
        self.endEffects()
        let hasRun: Bool
        if self.order.below(self.settings.stepsPerDelay) == 0 {
            self.passLittleTime()
            hasRun = true
        } else {
            hasRun = self.runOne()
            if !hasRun { self.passIdleTime() }
        }
        self.lookAtNodes()
        self.stepNumber += 1
        self.counts.steps += 1
        if self.stepNumber % Self.watchSteps == 0 {
            self.check { (checker) throws(Violation) in try checker.watch(self) }
        }
        return hasRun
    }

    /// Runs somebody who has something to do, chosen by the seed.
    private func runOne() -> Bool {
        let count =
            1 + self.nodes.reduce(0) { $0 + 1 + $1.drivers.count } + self.clients.count
            + self.actors.count
        for _ in 0 ..< count {
            let index = self.order.below(count)
            let reluctance = self.settings.reluctance[index % self.settings.reluctance.count]
            let isSkipped = self.order.below(8) < reluctance
            if isSkipped, !self.isHealing { continue }
            if self.run(index) { return true }
        }
        // Nobody was willing: whoever can must.
        let start = self.order.below(count)
        for offset in 0 ..< count where self.run((start + offset) % count) { return true }
        return false
    }

    /// Runs one candidate: the topology, a process, a component of a node, a client or an actor.
    private func run(_ candidate: Int) -> Bool {
        var index = candidate
        if index == 0 { return self.topology.turn(self) }
        index -= 1
        for node in self.nodes {
            if index == 0 { return self.turn(processOf: node) }
            index -= 1
            if index < node.drivers.count { return self.turn(index, of: node) }
            index -= node.drivers.count
        }
        if index < self.clients.count {
            guard self.clients[index].turn() else { return false }
            self.note("client", index)
            return true
        }
        index -= self.clients.count
        // An actor that failed to connect may have left fewer clients than there were.
        guard index < self.actors.count else { return false }
        let actor = self.actors[index]
        guard actor.turn(self) else { return false }
        self.note(actor.name)
        return true
    }

    private func turn(_ index: Int, of node: SimulatedNode) -> Bool {
        let now = self.clock.monotonicNanoseconds()
        let driver = node.drivers[index]
        guard index >= node.heldUntil.count || node.heldUntil[index] <= now,
            driver.isRunnable(at: now)
        else { return false }
        let calls = node.disk.calls
        driver.step(at: now)
        if node.disk.calls != calls { self.holdBack(index, of: node) }
        self.note(
            driver.component.name, node.disk.calls &* 31 &+ node.network.bytesMoved &+ node.index)
        return true
    }
}
