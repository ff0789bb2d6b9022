import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Calls with and without a key through the wire. The operators' file has key 1.
@Suite struct NodeAccessTests {
    private static let unauthenticated: Int32 = 16
    private static let good = Keys.text(1)

    private let access = AccessControl(operatorKeys: [Keys.operator(1)])

    private func serving() throws -> NodeHarness { try NodeHarness.serving(access: self.access) }

    private static func method(_ row: RPCDefinition) -> RPCMethod? {
        switch row.service {
        case "profiles.v1.Profiles": .profiles(row.name)
        case "profiles.v1.Admin": .admin(row.name)
        default: nil
        }
    }

    // MARK: Without access

    /// One text for all, whatever is wrong with the key and whatever is called.
    @Test func callsWithoutAValidKeyAreTheSameForEveryRPC() throws {
        let harness = try self.serving()
        let keys: [String?] = [
            nil, "x", "pk_", Keys.text(9), Keys.text(1, secret: 9), Self.good + "A",
            Self.good + String(repeating: "A", count: 5_000),
        ]
        var texts: Set<String> = []
        var count = 0
        for row in RPCTable.all {
            guard let method = Self.method(row) else { continue }
            let key = keys[count % keys.count]
            count += 1
            let call = try harness.call(method, "{}", key: key)
            #expect(call.status == Self.unauthenticated, "\(row.name)")
            #expect(call.reason == "KEY_INVALID" && call.messages.isEmpty)
            texts.insert("\(call.message) \(call.failure)")
            // Fewer than are throttled.
            try harness.pass(milliseconds: 600)
        }
        #expect(count > 35 && texts.count == 1, "\(texts)")
        let metrics = self.access.metrics
        for failure in [AccessFailure.missing, .malformed, .unknown, .mismatch] {
            #expect(metrics.count(of: failure) > 0, "\(failure)")
        }
    }

    @Test func rejectionNeedsNoByteOfTheBody() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Keys.text(9))
        let call = try client.open(.profiles("Track"))
        try harness.settle()
        #expect(call.status == Self.unauthenticated)
    }

    @Test func healthNeedsNoKey() throws {
        let harness = try self.serving()
        for key in [nil, Keys.text(9)] {
            let call = try harness.call(.healthCheck, "{}", key: key)
            #expect(call.response?["status"]?.text == "SERVING")
        }
        #expect(AccessFailure.allCases.allSatisfy { self.access.metrics.count(of: $0) == 0 })
    }

    /// It shows the contract and no data.
    @Test func reflectionNeedsNoKeyIfItIsOn() throws {
        let harness = try self.serving()
        let client = try harness.connect()
        let call = try client.open(
            .healthCheck, path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        // list_services
        client.send(bytes: [7 << 3 | 2, 1] + Array("*".utf8), on: call)
        client.finishRequests(of: call)
        try harness.wait(for: "the stream's end") { call.hasEnded }
        #expect(call.status == 0 && call.messages.count == 1)
    }

    /// No key can be looked up yet, so none is asked for.
    @Test func whileReplayingEveryoneIsToldSo() throws {
        let harness = try NodeHarness(access: self.access)
        for key in [nil, Keys.text(9), Self.good] {
            let call = try harness.call("GetProfile", Requests.person("anna"), key: key)
            #expect(call.reason == "REPLAYING")
        }
    }

    @Test func withoutOperatorKeysEveryCallerIsAnOperator() throws {
        let harness = try NodeHarness.serving()
        for key in [nil, Keys.text(9)] {
            #expect(try harness.call(.admin("ListProjects"), "{}", key: key).status == 0)
        }
    }

    // MARK: With access

    @Test func anOperatorsKeyAllowsReadsWritesAndAdministration() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.good)
        for (method, request) in [
            (RPCMethod.profiles("Track"), Requests.track("anna", ["e1"])),
            (.profiles("GetProfile"), Requests.person("anna")), (.admin("ListProjects"), "{}"),
            (.profiles("EraseProfile"), Requests.person("anna")),
        ] {
            let call = try client.call(method, try Requests.json(request))
            try harness.wait(for: "the call") { call.hasEnded }
            #expect(call.status == 0, "\(call.message)")
        }
    }

    @Test(arguments: [
        ("authorization", "Bearer " + Keys.text(1), true),
        ("authorization", "bearer " + Keys.text(1), true), ("x-api-key", Keys.text(1), true),
        ("authorization", Keys.text(1), false), ("authorization", "Basic " + Keys.text(1), false),
        ("x-api-key", "Bearer " + Keys.text(1), false), ("api-key", Keys.text(1), false),
    ])
    func keysComeInTwoHeaders(name: String, value: String, isGood: Bool) throws {
        let harness = try self.serving()
        let client = try harness.connect()
        client.metadata = [(name, value)]
        let call = try client.call(.admin("ListProjects"), try Requests.json("{}"))
        try harness.wait(for: "the call") { call.hasEnded }
        #expect(call.status == (isGood ? 0 : Self.unauthenticated))
    }

    /// Each call brings its own key, whatever the one before it on the connection was.
    @Test func aConnectionsLastKeyDoesNotServeForTheNextCall() throws {
        let harness = try self.serving()
        let client = try harness.connect()
        for (key, isGood) in [
            (Self.good, true), (Self.good, true), (Keys.text(9), false), (Self.good, true),
            ("", false), (Keys.text(1, secret: 2), false), (Self.good, true),
        ] {
            client.metadata = key.isEmpty ? [] : [("authorization", "Bearer " + key)]
            let call = try client.call(.admin("ListProjects"), try Requests.json("{}"))
            try harness.wait(for: "the call") { call.hasEnded }
            #expect(call.status == (isGood ? 0 : Self.unauthenticated))
        }
    }

    // MARK: The keys change

    @Test func callsBehindTheReplacementNeedANewKey() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.good)
        // Its headers came before, its body does not.
        let early = try client.open(.profiles("Track"))
        try harness.settle()
        self.access.replaceOperatorKeys([Keys.operator(2)])
        let late = try client.call(.admin("ListProjects"), try Requests.json("{}"))
        try harness.wait(for: "the call") { late.hasEnded }
        #expect(late.status == Self.unauthenticated)
        try client.send(try Requests.json(Requests.track("anna", ["e1"])), on: early)
        client.finishRequests(of: early)
        try harness.wait(for: "the call") { early.hasEnded }
        #expect(early.status == Self.unauthenticated)
        let next = try harness.call("GetProfile", Requests.person("anna"), key: Keys.text(2))
        #expect(next.reason == "PROFILE_NOT_FOUND")
    }

    @Test func streamsEndWithTheirKeyWithinASecond() throws {
        self.access.replaceOperatorKeys([Keys.operator(1), Keys.operator(2)])
        let harness = try self.serving()
        let client = try harness.connect(key: Self.good)
        // One that has responded, one that was opened only, and one of another key.
        let used = try client.open(.profiles("TrackStream"))
        try client.send(try Requests.json(Requests.track("anna", ["e1"])), on: used)
        let silent = try client.open(.profiles("TrackStream"))
        let other = try harness.connect(key: Keys.text(2)).open(.profiles("TrackStream"))
        try harness.wait(for: "the response") { used.messages.count == 1 }
        self.access.replaceOperatorKeys([Keys.operator(2)])
        try harness.pass(milliseconds: 1_000)
        for call in [used, silent] {
            #expect(call.hasEnded && call.status == Self.unauthenticated)
            #expect(call.reason == "KEY_INVALID")
        }
        #expect(!other.hasEnded)
        // The connection goes on.
        client.metadata = [("authorization", "Bearer " + Keys.text(2))]
        let next = try client.call(.admin("ListProjects"), try Requests.json("{}"))
        try harness.wait(for: "the call") { next.hasEnded }
        #expect(next.status == 0)
    }

    @Test func requestsOfAStreamThatWasEndedAreNotCarriedOut() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.good)
        let stream = try client.open(.profiles("TrackStream"))
        try harness.settle()
        self.access.replaceOperatorKeys([Keys.operator(2)])
        try harness.pass(milliseconds: 1_000)
        try client.send(try Requests.json(Requests.track("anna", ["e1"])), on: stream)
        try harness.pass(milliseconds: 100)
        let read = try harness.call("GetProfile", Requests.person("anna"), key: Keys.text(2))
        #expect(read.reason == "PROFILE_NOT_FOUND")
    }

    @Test func aStreamThatWasEndedHasTheResponsesToItsWrites() throws {
        self.access.replaceOperatorKeys([Keys.operator(1), Keys.operator(2)])
        let harness = try NodeHarness.serving(
            access: self.access, configure: { $0.transport.outputBytesPerStreamMax = 64 })
        let client = try harness.connect(key: Self.good)
        client.setWindow(0)
        try harness.settle()
        let stream = try client.open(.profiles("TrackStream"))
        for number in 1 ... 20 {
            try client.send(
                try Requests.json(Requests.track("anna", ["e\(number)"])), on: stream)
        }
        try harness.pass(milliseconds: 10)
        #expect(harness.items.stored == 20 && stream.messages.isEmpty)
        self.access.replaceOperatorKeys([Keys.operator(2)])
        try harness.pass(milliseconds: 1_000)
        try client.send(try Requests.json(Requests.track("anna", ["e21"])), on: stream)
        client.setWindow(65_535)
        try harness.wait(for: "the stream's end") { stream.hasEnded }
        #expect(stream.messages.count == 20 && stream.status == Self.unauthenticated)
        #expect(stream.reason == "KEY_INVALID" && harness.items.stored == 20)
    }

    // MARK: Failed logins

    @Test func theTwentyFirstFailureWaitsAndGoodKeysDoNot() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Keys.text(9))
        func fail() throws -> WireCall {
            let call = try client.call(.admin("ListProjects"), try Requests.json("{}"))
            try harness.settle()
            return call
        }
        for _ in 0 ..< 20 { #expect(try fail().hasEnded) }
        let late = try fail()
        #expect(!late.hasEnded)
        let good = try harness.call(.admin("ListProjects"), "{}", key: Self.good)
        #expect(good.status == 0 && !late.hasEnded)
        try harness.pass(milliseconds: 990)
        #expect(!late.hasEnded)
        try harness.pass(milliseconds: 20)
        #expect(late.hasEnded && late.status == Self.unauthenticated)
        #expect(late.reason == "KEY_INVALID")
        #expect(self.access.metrics.delayed == 1)
        try harness.pass(milliseconds: 10_000)
        #expect(try fail().hasEnded)
    }

    @Test func moreThanMayWaitCloseTheirConnection() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Keys.text(9))
        let other = try harness.connect(key: Keys.text(9))
        let good = try harness.connect(key: Self.good)
        for _ in 0 ..< 84 {
            _ = try client.call(.admin("ListProjects"), try Requests.json("{}"))
        }
        try harness.settle()
        #expect(!client.isClosed)
        let call = try other.call(.admin("ListProjects"), try Requests.json("{}"))
        try harness.settle()
        #expect(other.isClosed && call.hasEnded && call.status == nil)
        #expect(!client.isClosed)
        let served = try good.call(.admin("ListProjects"), try Requests.json("{}"))
        try harness.wait(for: "the call") { served.hasEnded }
        #expect(served.status == 0)
    }
}
