import Bytes
import GRPCTransport
import IOCore
import IOSimulation
import Messages
import ProfileClient
import TestSupport
import Testing

@testable import ProfileService

/// One `ServiceLoop` behind the real wire, without a partition: its live calls, and rows of a table
/// that the product does not have.
@Suite struct ServiceLoopTests {
    // MARK: A request stream with one response

    /// Counts its requests, and responds once they have ended.
    private final class CountingCall: LiveCall {
        let token: CallToken
        private unowned(unsafe) let loop: ServiceLoop
        private var count: UInt64 = 0

        init(_ loop: ServiceLoop, _ token: CallToken) {
            self.loop = loop
            self.token = token
        }

        func receive(_ message: UnsafeRawBufferPointer) { self.count += 1 }

        func requestsEnded() {
            self.loop.close(self.token)
            self.loop.transport.respond(to: self.token) {
                // A TrackResponse whose `sequence` is the count.
                $0.appendVarint(6 << 3)
                $0.appendVarint(self.count)
            }
        }

        func drain() {
            self.loop.close(self.token)
            self.loop.reject(self.token, .rejected(.draining))
        }
    }

    /// Served in every phase, as it needs no partition.
    private static let counting = RPCDefinition(
        "test.Test", "Count", .health, needs: .none, takes: .track,
        .stream(.requestStream) { CountingCall($0, $1.token) })

    @Test(arguments: [0, 1, 5_000])
    func requestStreamHasOneResponse(requests: Int) throws {
        let fixture = try LoopFixture(table: [Self.counting])
        let client = fixture.connect()
        let call = try client.open(.profiles("Track"), path: "/test.Test/Count")
        let request = try Requests.json(Requests.track("anna", ["e"]))
        for _ in 0 ..< requests { try client.send(request, on: call) }
        fixture.settle()
        #expect(!call.hasEnded && call.messages.isEmpty, "the client may send more")
        client.finishRequests(of: call)
        fixture.settle()
        #expect(call.status == 0 && call.hasEnded, "\(call.message)")
        #expect(call.messages.count == 1)
        // A proto3 field of 0 is left out when it is read.
        #expect(call.responses.first?["sequence"]?.integer ?? 0 == Int64(requests))
        #expect(fixture.openCalls == 0)
    }

    @Test func drainedStreamEndsWithAReason() throws {
        let fixture = try LoopFixture(table: [Self.counting])
        let client = fixture.connect()
        let call = try client.open(.profiles("Track"), path: "/test.Test/Count")
        try client.send(try Requests.json(Requests.track("anna", ["e"])), on: call)
        fixture.settle()
        #expect(fixture.openCalls == 1)
        fixture.loop.beginDrain(graceNanoseconds: 10_000_000_000)
        fixture.pass(milliseconds: 2_000)
        #expect(call.hasEnded && call.status == RPCFailure.unavailable)
        #expect(call.reason == "DRAINING")
        #expect(fixture.openCalls == 0)
    }

    @Test func streamThatIsCancelledLeavesItsSlotToTheNext() throws {
        let fixture = try LoopFixture(table: [Self.counting])
        let client = fixture.connect()
        let request = try Requests.json(Requests.track("anna", ["e"]))
        for round in 1 ... 3 {
            let lost = try client.open(.profiles("Track"), path: "/test.Test/Count")
            for _ in 0 ..< 5 { try client.send(request, on: lost) }
            fixture.settle()
            #expect(fixture.openCalls == 1, "round \(round)")
            client.cancel(lost)
            fixture.settle()
            #expect(fixture.openCalls == 0, "round \(round)")
        }
        let call = try client.open(.profiles("Track"), path: "/test.Test/Count")
        try client.send(request, on: call)
        client.finishRequests(of: call)
        fixture.settle()
        #expect(call.responses.first?["sequence"]?.integer == 1, "none of the calls before counts")
    }

    // MARK: Live calls by their slot

    private static func token(_ slot: UInt32, generation: UInt32) -> CallToken {
        CallToken(
            loop: 0, connectionSlot: 0, connectionGeneration: 0, streamSlot: slot,
            streamGeneration: generation)
    }

    @Test func staleTokenFindsNoCallOfItsSlot() throws {
        let fixture = try LoopFixture(table: [Self.counting])
        var calls = LiveCalls()
        let old = Self.token(3, generation: 1)
        let new = Self.token(3, generation: 2)
        calls.add(CountingCall(fixture.service, old))
        #expect(
            calls[old] != nil && calls[new] == nil && calls[Self.token(9, generation: 1)] == nil)
        calls.add(CountingCall(fixture.service, new))
        #expect(calls[old] == nil && calls[new] != nil)
        calls.remove(old)
        #expect(calls[new] != nil, "the end of the call before leaves it alone")
        calls.remove(new)
        #expect(calls[new] == nil)
    }

    // MARK: A response stream under backpressure

    @Test func watchOfAClientThatDoesNotReadGetsTheNewestStateOnly() throws {
        let fixture = try LoopFixture(table: RPCTable.all)
        let client = fixture.connect()
        client.setWindow(0)
        fixture.settle()
        let watch = try client.call(
            .healthCheck, .object([]), path: "/grpc.health.v1.Health/Watch")
        fixture.settle()
        let changes = 101
        for number in 0 ..< changes {
            fixture.health.setAll(number % 2 == 0 ? .serving : .notServing)
            fixture.loop.wake()
            fixture.settle()
        }
        #expect(watch.messages.isEmpty, "the client's window is closed")
        client.setWindow(65_535)
        fixture.settle()
        let states = watch.responses.compactMap { $0["status"]?.text }
        #expect(states == ["SERVING"], "of \(changes) changes the newest state alone")
        // From here on every change arrives.
        fixture.health.setAll(.notServing)
        fixture.loop.wake()
        fixture.settle()
        #expect(watch.responses.last?["status"]?.text == "NOT_SERVING")
    }
}

/// A loop and its service on a simulated network.
private final class LoopFixture {
    let clock = SimulatedClock()
    let health = HealthRegistry(services: [""])
    let loop: RPCLoop
    let service: ServiceLoop
    private let network = SimulatedNetwork()
    private let poller: SimulatedPoller
    private let address: String
    private var clients: [WireClient] = []

    init(table: [RPCDefinition]) throws {
        let listener = try self.network.listen(host: "127.0.0.1", port: 0)
        let poller = self.network.makeSimulatedPoller()
        self.address = listener.address
        self.poller = poller
        self.loop = RPCLoop(
            index: 0, listener: listener, poller: poller, clock: self.clock,
            methods: table.map(\.descriptor), limits: TransportLimits())
        self.service = ServiceLoop(
            index: 0, transport: self.loop, state: ServingState(),
            mailbox: CompletionMailbox { poller.wake() }, health: self.health,
            random: SimulatedRandomSource(), table: table)
        self.loop.handler = self.service
        try self.loop.start()
    }

    /// Live calls of the service.
    var openCalls: Int {
        var count = 0
        self.service.liveCalls.forEach { _ in count += 1 }
        return count
    }

    func connect() -> WireClient {
        guard let socket = self.network.connect(to: self.address) else {
            preconditionFailure("the loop listens")
        }
        let client = WireClient(socket, now: { 0 })
        self.clients.append(client)
        self.settle()
        return client
    }

    /// Steps the loop and the clients until none has anything to do.
    func settle() {
        var isBusy = true
        while isBusy {
            isBusy = self.poller.hasWork
            if isBusy { _ = self.loop.step() }
            for client in self.clients where client.turn() { isBusy = true }
        }
    }

    /// Lets time pass, with a step of the loop every 10 ms.
    func pass(milliseconds: Int) {
        for _ in 0 ..< milliseconds / 10 {
            self.clock.advance(nanoseconds: 10_000_000)
            if self.loop.step() == .ended { return }
            self.settle()
        }
    }
}
