import GRPCTransport
import IOCore
import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import Storage

/// A whole node on a simulated disk, clock and network, with its clients, stepped on one thread:
/// the same wiring as in the server, without a thread, a socket or a second of real time.
///
/// Components run in a fixed order, or in one that follows from a seed.
package final class NodeHarness {
    /// Steps after which `settle` takes the node to be spinning.
    private static let stepsMax = 2_000_000

    package enum Failure: Error {
        /// The components never came to rest.
        case spinning
        /// A call has not ended within its simulated time.
        case timedOut(String)
        case cannotConnect
    }

    package let disk: SimulatedDisk
    package let clock: SimulatedClock
    package let node: Node
    private let network: RecordingNetwork
    private let eventLog = Guarded<[NodeEvent]>([])
    private var drivers: [ComponentDriver]
    private var clients: [WireClient] = []
    /// Chooses who runs next; `nil`: in order.
    private var random: SeededRandom?

    /// A node that listens and has not recovered.
    ///
    /// - Parameters:
    ///   - order: Seed of the order in which components run; `nil`: a fixed order.
    ///   - makeLogStore: The log to run on.
    package init(
        _ disk: SimulatedDisk = SimulatedDisk(), clock: SimulatedClock = SimulatedClock(),
        order: UInt64? = nil,
        makeLogStore: @escaping (LogEnvironment) -> any LogStore = { SegmentedLogStore($0) },
        access: AccessControl = AccessControl(),
        configure: (inout NodeConfiguration) -> Void = { _ in }
    ) throws {
        self.disk = disk
        self.clock = clock
        self.random = order.map { SeededRandom(seed: $0) }
        let network = RecordingNetwork()
        self.network = network
        var configuration = NodeConfiguration(dataDirectory: "d")
        configuration.log.segmentBytes = 256 << 10
        configure(&configuration)
        let eventLog = self.eventLog
        var environment = NodeEnvironment(
            clock: clock, network: network, random: SimulatedRandomSource(), fileSystem: disk,
            makeLogStore: makeLogStore, makeParker: { SimulatedParker() },
            configuration: configuration,
            onEvent: { event in eventLog.withLock { $0.append(event) } })
        environment.access = access
        self.node = try Node(environment: environment)
        self.drivers = zip(self.node.loops, network.pollers).map { ComponentDriver($0, poller: $1) }
    }

    /// A node that serves.
    package static func serving(
        _ disk: SimulatedDisk = SimulatedDisk(), clock: SimulatedClock = SimulatedClock(),
        order: UInt64? = nil,
        makeLogStore: @escaping (LogEnvironment) -> any LogStore = { SegmentedLogStore($0) },
        access: AccessControl = AccessControl(),
        configure: (inout NodeConfiguration) -> Void = { _ in }
    ) throws -> NodeHarness {
        let harness = try NodeHarness(
            disk, clock: clock, order: order, makeLogStore: makeLogStore, access: access,
            configure: configure)
        try harness.recover()
        return harness
    }

    /// Recovers the data directory and lets calls in.
    package func recover() throws {
        try self.node.recover()
        self.drivers += self.node.workers.map { ComponentDriver($0, poller: nil) }
        self.node.serve()
        try self.settle()
    }

    /// What the node has reported so far.
    package var events: [NodeEvent] { self.eventLog.withLock { $0 } }

    /// Items of all projects by what became of them.
    package var items: ItemCounts {
        self.node.recovered.map { self.node.accounting.figures(of: $0.store).total } ?? ItemCounts()
    }

    // MARK: Time

    /// Steps components and clients until none has anything to do at this time.
    package func settle() throws {
        for _ in 0 ..< Self.stepsMax {
            guard try self.stepOne() else { return }
        }
        throw Failure.spinning
    }

    /// Steps one component or client that has something to do.
    ///
    /// - Returns: Whether there was one.
    package func stepOne() throws -> Bool {
        let now = self.clock.monotonicNanoseconds()
        var order = Array(0 ..< self.drivers.count + self.clients.count)
        if self.random != nil { order.shuffle(using: &self.random!) }
        for index in order {
            if index < self.drivers.count {
                guard self.drivers[index].isRunnable(at: now) else { continue }
                self.drivers[index].step(at: now)
                return true
            }
            if self.clients[index - self.drivers.count].turn() { return true }
        }
        return false
    }

    /// Lets time pass, in pieces short enough for every timer.
    package func pass(milliseconds: Int) throws {
        var left = milliseconds
        while left > 0 {
            let piece = min(left, 10)
            left -= piece
            self.clock.advance(nanoseconds: UInt64(piece) * 1_000_000)
            try self.settle()
        }
    }

    /// Lets time pass until a condition holds.
    ///
    /// - Throws: `.timedOut` after 60 simulated seconds.
    package func wait(for what: String, until condition: () -> Bool) throws {
        try self.settle()
        for _ in 0 ..< 6_000 where !condition() { try self.pass(milliseconds: 10) }
        guard condition() else { throw Failure.timedOut(what) }
    }

    // MARK: Clients

    /// Connects a client.
    ///
    /// - Parameter key: What its calls send as `authorization: Bearer`; `nil`: nothing.
    package func connect(key: String? = nil, from host: String = "127.0.0.1") throws -> WireClient {
        guard let socket = self.network.network.connect(to: self.node.listenAddress, from: host)
        else { throw Failure.cannotConnect }
        let clock = self.clock
        let client = WireClient(socket, now: { clock.wallMicroseconds() })
        if let key { client.metadata = [("authorization", "Bearer " + key)] }
        self.clients.append(client)
        return client
    }

    /// Makes one call on a connection of its own, and waits for its end.
    package func call(
        _ method: RPCMethod, _ request: String, path: String? = nil, key: String? = nil
    ) throws -> WireCall {
        let client = try self.connect(key: key)
        defer { client.close() }
        let call = try client.call(method, try JSONParser.parse(request.utf8), path: path)
        try self.wait(for: call.path) { call.hasEnded }
        return call
    }

    /// Makes one call of `profiles.v1.Profiles`.
    package func call(_ name: String, _ request: String, key: String? = nil) throws -> WireCall {
        try self.call(.profiles(name), request, key: key)
    }

    // MARK: The end

    /// Drains as the server does: the loops end, then one worker after the other.
    package func drain() throws {
        self.node.beginDrain(graceNanoseconds: 10_000_000_000)
        let loops = self.drivers.prefix(self.node.loops.count)
        try self.wait(for: "the loops to end") { loops.allSatisfy(\.hasEnded) }
        for driver in self.drivers.dropFirst(self.node.loops.count) {
            driver.component.stop()
            try self.wait(for: driver.component.name) { driver.hasEnded }
        }
        self.node.close()
    }

    /// Ends the process without notice: nothing is flushed or closed, the disk keeps what reads
    /// see.
    package func kill() -> SimulatedDisk {
        self.network.network.cutAll()
        self.drivers = []
        self.disk.killProcess()
        return self.disk
    }

    /// Cuts the power: a disk with one of the contents that could be left.
    package func cutPower(seed: UInt64) -> SimulatedDisk {
        self.network.network.cutAll()
        self.drivers = []
        return self.disk.afterPowerCut(seed: seed)
    }
}
