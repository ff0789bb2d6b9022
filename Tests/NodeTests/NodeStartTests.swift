import IOCore
import IOSimulation
import ProfileService
import Storage
import TestSupport
import Testing

/// In which order a node takes what it needs, and what a rejected start leaves.
@Suite struct NodeStartTests {
    /// Counts what is listened on, or rejects it.
    private final class CountingNetwork: Network {
        private let network = SimulatedNetwork()
        private let isTaken: Bool
        private let listens = Guarded(0)

        var listenCount: Int { self.listens.withLock { $0 } }

        init(isTaken: Bool = false) {
            self.isTaken = isTaken
        }

        func makePoller() throws(IOError) -> any Poller { self.network.makeSimulatedPoller() }

        func listen(
            host: String, port: UInt16, count: Int
        ) throws(IOError) -> [any ListeningSocket] {
            self.listens.withLock { $0 += 1 }
            if self.isTaken {
                throw IOError(.other, operation: "bind", subject: "\(host):\(port)", code: 98)
            }
            return try self.network.listen(host: host, port: port, count: count)
        }
    }

    private static func node(
        _ disk: SimulatedDisk, _ network: CountingNetwork
    ) throws(NodeStartError) -> Node {
        try Node(
            environment: NodeEnvironment(
                clock: SimulatedClock(), network: network, random: SimulatedRandomSource(),
                fileSystem: disk, makeLogStore: { SegmentedLogStore($0) },
                makeParker: { SimulatedParker() },
                configuration: NodeConfiguration(dataDirectory: "d"), onEvent: { _ in }))
    }

    @Test func secondStartOnADirectoryIsRejectedBeforeItListens() throws {
        let disk = SimulatedDisk()
        let first = try Self.node(disk, CountingNetwork())
        let network = CountingNetwork()
        do throws(NodeStartError) {
            _ = try Self.node(disk, network)
            Issue.record("two nodes have one directory")
        } catch {
            guard case .directory(.locked) = error else { throw error }
        }
        #expect(network.listenCount == 0)
        #expect(disk.isLocked, "the first one still has it")
        first.close()
        try Self.node(disk, network).close()
        #expect(network.listenCount == 1)
    }

    @Test func startWhosePortIsTakenGivesTheDirectoryBack() throws {
        let disk = SimulatedDisk()
        do throws(NodeStartError) {
            _ = try Self.node(disk, CountingNetwork(isTaken: true))
            Issue.record("the port is taken")
        } catch {
            guard case .listening = error else { throw error }
        }
        #expect(!disk.isLocked)
        #expect(disk.operationCount == 0)
    }

    @Test func lostDirectoryEndsWritesAndHealthAndReadsContinue() throws {
        let harness = try NodeHarness.serving()
        #expect(try harness.call("Track", Requests.track("anna", ["1"])).status == 0)
        harness.disk.lose(.replaced)
        try harness.pass(milliseconds: 20)
        let rejected = try harness.call("Track", Requests.track("anna", ["2"]))
        #expect(rejected.status == 14 && rejected.reason == "LOG_UNAVAILABLE")
        let events = harness.events.compactMap { event -> StorageError? in
            if case .logFailed(let error) = event { error } else { nil }
        }
        #expect(events == [.directoryLost(path: "d", .replaced)])
        let health = try harness.call(.healthCheck, "{}")
        #expect(health.response?["status"]?.text == "NOT_SERVING")
        #expect(try harness.call("GetProfile", Requests.person("anna")).status == 0)
    }

    @Test func lostDirectoryIsReportedWithoutAnyWrite() throws {
        let harness = try NodeHarness.serving()
        harness.disk.lose(.gone)
        try harness.pass(milliseconds: 1_200)
        let health = try harness.call(.healthCheck, "{}")
        #expect(health.response?["status"]?.text == "NOT_SERVING")
    }
}
