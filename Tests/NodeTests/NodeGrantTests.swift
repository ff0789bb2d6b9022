import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// What keys of projects allow, and how much: scopes, quotas, expiry, records for operators.
@Suite struct NodeGrantTests {
    private static let `operator` = Keys.text(1)
    private static let scopes = ["READ", "WRITE", "ERASE", "ADMIN", "EXPORT"]
    private let access = AccessControl(operatorKeys: [Keys.operator(1)])

    private func serving() throws -> NodeHarness { try NodeHarness.serving(access: self.access) }

    /// A key of `default`.
    ///
    /// - Parameter more: Further members of the request, each behind a comma.
    private func key(_ harness: NodeHarness, _ scopes: [String], _ more: String = "") throws
        -> String
    {
        let list = scopes.map { #""SCOPE_\#($0)""# }.joined(separator: ",")
        let call = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":[\#(list)]\#(more)}"#,
            key: Self.operator)
        return try #require(call.response?["key"]?.text, "\(call.message)")
    }

    private func end(_ call: WireCall, _ harness: NodeHarness) throws -> WireCall {
        try harness.wait(for: "the call") { call.hasEnded }
        return call
    }

    // MARK: Scopes

    private static func needed(_ row: RPCDefinition) -> String? {
        switch row.permission {
        case .read: "READ"
        case .write: "WRITE"
        case .erase: "ERASE"
        case .admin: "ADMIN"
        case .export: "EXPORT"
        case .operatorOnly: "OPERATOR"
        case .none: nil
        }
    }

    /// For each scope a key that has all others: it is refused what needs this one, and nothing
    /// else, before a byte of the body.
    @Test(arguments: NodeGrantTests.scopes)
    func everyRPCNeedsItsOwnScope(missing: String) throws {
        let harness = try self.serving()
        let client = try harness.connect(
            key: try self.key(harness, Self.scopes.filter { $0 != missing }))
        var refused = 0
        for row in RPCTable.all where !row.service.hasPrefix("grpc.") {
            let method: RPCMethod =
                row.service.hasSuffix("Admin") ? .admin(row.name) : .profiles(row.name)
            let call = try client.open(method)
            try harness.settle()
            let isRefused = [missing, "OPERATOR"].contains(Self.needed(row))
            #expect((call.status == 7) == isRefused, "\(row.name): \(call.message)")
            if isRefused {
                refused += 1
                #expect(call.reason == "SCOPE_MISSING")
            }
            client.cancel(call)
            try harness.settle()
        }
        #expect(refused > 5)
    }

    /// Whatever is wrong with the request otherwise.
    @Test func anotherProjectIsRefusedBeforeValidation() throws {
        let harness = try self.serving()
        let key = try self.key(harness, Self.scopes)
        var texts: Set<String> = []
        for request in [
            #"{"project":"other","identifier":{"custom_id":"anna"}}"#, "{}",
            #"{"project":"","identifier":{}}"#, #"{"project":"DEFAULT"}"#,
            #"{"project":"defaul","identifier":{"custom_id":""}}"#,
            #"{"project":"other","min_lsn":1000000}"#,
        ] {
            let call = try harness.call("GetProfile", request, key: key)
            #expect(call.status == 7 && call.reason == "SCOPE_MISSING", "\(request)")
            texts.insert("\(call.message) \(call.failure)")
        }
        let noScope = try harness.call(
            "GetProfile", Requests.person("anna"), key: try self.key(harness, ["WRITE"]))
        texts.insert("\(noScope.message) \(noScope.failure)")
        #expect(texts.count == 1, "\(texts)")
        let own = try harness.call("GetProfile", #"{"project":"default"}"#, key: key)
        #expect(own.reason == "INVALID_FIELDS")
    }

    /// Of two names the last one counts, for the check and for the call.
    @Test func aSecondProjectInTheMessageIsTheOneThatCounts() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: try self.key(harness, ["READ"]))
        let identifier: [UInt8] = [18, 6, 18, 4] + Array("anna".utf8)
        func project(_ name: String) -> [UInt8] {
            [10, UInt8(name.utf8.count)] + Array(name.utf8)
        }
        for (bytes, isOwn) in [
            (project("default") + project("other") + identifier, false),
            (project("other") + identifier + project("default"), true),
            (project("default") + identifier + [0x8A, 0, 5] + Array("other".utf8), false),
            // Nothing is said of what else is wrong in it: no identifier, an empty one.
            (project("default") + project("other"), false),
            (project("default") + project("other") + [18, 2, 18, 0], false),
        ] {
            let call = try client.open(.profiles("GetProfile"))
            client.send(bytes: bytes, on: call)
            client.finishRequests(of: call)
            #expect((try self.end(call, harness).status == 7) == !isOwn, "\(call.message)")
        }
    }

    @Test func aStreamEndsAtARequestForAnotherProject() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: try self.key(harness, ["WRITE"]))
        let stream = try client.open(.profiles("TrackStream"))
        try client.send(try Requests.json(Requests.track("anna", ["e1"])), on: stream)
        try client.send(
            try Requests.json(
                #"{"project":"other","identifier":{"custom_id":"a"},"events":[{"name":"x"}]}"#),
            on: stream)
        let ended = try self.end(stream, harness)
        #expect(ended.status == 7 && ended.messages.count == 1)
    }

    // MARK: Expiry

    @Test func callsAndStreamsEndWithTheTimeOfTheKey() throws {
        let harness = try self.serving()
        let seconds = harness.clock.wallMicroseconds() / 1_000_000 + 5
        let key = try self.key(
            harness, ["WRITE"],
            #","expires_at":"\#(TimeText.text(seconds: seconds, nanoseconds: 0))""#)
        let client = try harness.connect(key: key)
        let stream = try client.open(.profiles("TrackStream"))
        try harness.pass(milliseconds: 3_000)
        let early = try client.call(
            .profiles("Track"), try Requests.json(Requests.track("anna", ["e1"])))
        #expect(try self.end(early, harness).status == 0 && !stream.hasEnded)
        try harness.pass(milliseconds: 3_100)
        #expect(stream.hasEnded && stream.status == 16)
        let late = try client.call(
            .profiles("Track"), try Requests.json(Requests.track("anna", ["e2"])))
        #expect(try self.end(late, harness).status == 16)
        // The stream and the call after it.
        #expect(self.access.metrics.count(of: .expired) == 2)
    }

    // MARK: Quotas

    @Test func updatesBeyondTheRateAreRejectedWithTheTimeToWait() throws {
        let harness = try self.serving()
        let key = try self.key(harness, ["READ", "WRITE"], #","updates_per_second_max":5"#)
        let client = try harness.connect(key: key)
        func track(_ number: Int) throws -> WireCall {
            let call = try client.call(
                .profiles("Track"), try Requests.json(Requests.track("anna", ["e\(number)"])))
            return try self.end(call, harness)
        }
        for number in 0 ..< 5 { #expect(try track(number).status == 0) }
        let sixth = try track(5)
        #expect(sixth.status == 8 && sixth.reason == "RATE_EXCEEDED")
        #expect("\(sixth.failure)".contains("updates_per_second_max"))
        // Reads are free.
        for _ in 0 ..< 10 {
            let read = try client.call(
                .profiles("GetProfile"), try Requests.json(Requests.person("anna")))
            #expect(try self.end(read, harness).status == 0)
        }
        try harness.pass(milliseconds: 200)
        #expect(try track(6).status == 0)
        #expect(try track(7).status == 8)
        #expect(self.access.metrics.updateQuotaRejections == 2)
    }

    @Test func anItemOfABatchIsOneUpdate() throws {
        let harness = try self.serving()
        let client = try harness.connect(
            key: try self.key(harness, ["WRITE"], #","updates_per_second_max":4"#))
        let item =
            #"{"track":{"identifier":{"custom_id":"a"},"events":[{"name":"x"},{"name":"y"}]}}"#
        func batch(_ count: Int) throws -> WireCall {
            let items = Array(repeating: item, count: count).joined(separator: ",")
            let call = try client.call(
                .profiles("BatchWrite"),
                try Requests.json(#"{"project":"default","operations":[\#(items)]}"#))
            return try self.end(call, harness)
        }
        #expect(try batch(3).status == 0)
        #expect(try batch(2).status == 8)
        #expect(try batch(1).status == 0)
        // More than a second's worth needs a full bucket.
        try harness.pass(milliseconds: 1_000)
        #expect(try batch(6).status == 0)
        try harness.pass(milliseconds: 1_000)
        #expect(try batch(3).status == 8)
        try harness.pass(milliseconds: 1_000)
        #expect(try batch(3).status == 0)
    }

    @Test func aStreamBeyondTheRateIsHeldBackAndLosesNothing() throws {
        let harness = try self.serving()
        let client = try harness.connect(
            key: try self.key(harness, ["WRITE"], #","updates_per_second_max":10"#))
        let stream = try client.open(.profiles("TrackStream"))
        for number in 1 ... 40 {
            try client.send(
                try Requests.json(Requests.track("anna", ["e\(number)"])), on: stream)
        }
        client.finishRequests(of: stream)
        try harness.pass(milliseconds: 20)
        #expect(stream.messages.count == 10)
        try harness.pass(milliseconds: 1_000)
        #expect((19 ... 20).contains(stream.messages.count), "\(stream.messages.count)")
        try harness.pass(milliseconds: 2_100)
        #expect(stream.hasEnded && stream.status == 0 && stream.messages.count == 40)
        #expect(harness.items.stored == 40 && harness.items.rejected == 0)
    }

    /// It tries again in each tick.
    @Test func aStreamThatWaitsForTheLogTakesNoTokens() throws {
        let harness = try NodeHarness.serving(
            access: self.access, configure: { $0.pipeline.streamCommandsWaitingMax = 1 })
        let key = try self.key(harness, ["READ", "WRITE"], #","updates_per_second_max":5"#)
        let client = try harness.connect(key: key)
        let pipeline = try #require(harness.node.recovered?.pipeline)
        #expect(pipeline.reserve(bytes: 8) == .none)
        let stream = try client.open(.profiles("TrackStream"))
        try client.send(try Requests.json(Requests.track("anna", ["e1"])), on: stream)
        for _ in 0 ..< 10 {
            _ = try harness.call("GetProfile", Requests.person("anna"), key: key)
        }
        #expect(stream.messages.isEmpty)
        pipeline.release(commands: 1, bytes: 8)
        for number in 2 ... 5 {
            let track = Requests.track("anna", ["e\(number)"])
            #expect(try harness.call("Track", track, key: key).status == 0)
        }
        #expect(stream.messages.count == 1)
        #expect(try harness.call("Track", Requests.track("anna", ["e6"]), key: key).status == 8)
        #expect(pipeline.metrics.commandsWaiting == 0 && pipeline.metrics.bytesWaiting == 0)
    }

    @Test func noMoreCallsThanAllowedAreOpenAndEachEndFreesOne() throws {
        let harness = try self.serving()
        let client = try harness.connect(
            key: try self.key(harness, ["READ", "WRITE"], #","concurrent_calls_max":2"#))
        let stream = try client.open(.profiles("TrackStream"))
        let slow = try client.open(.profiles("Track"))
        try harness.settle()
        func read() throws -> WireCall {
            let call = try client.call(
                .profiles("GetProfile"), try Requests.json(Requests.person("anna")))
            return try self.end(call, harness)
        }
        let refused = try read()
        #expect(refused.status == 8 && refused.reason == "RATE_EXCEEDED")
        #expect("\(refused.failure)".contains("concurrent_calls_max"))
        #expect(self.access.metrics.callQuotaRejections == 1)
        // However a call ends.
        client.cancel(slow)
        try harness.settle()
        for _ in 0 ..< 5 { #expect(try read().reason == "PROFILE_NOT_FOUND") }
        client.finishRequests(of: stream)
        _ = try self.end(stream, harness)
        let lost = try harness.connect(key: Self.operator)
        lost.metadata = client.metadata
        _ = try lost.open(.profiles("TrackStream"))
        _ = try lost.open(.profiles("TrackStream"))
        try harness.settle()
        #expect(try read().status == 8)
        lost.cut()
        try harness.pass(milliseconds: 20)
        #expect(try read().reason == "PROFILE_NOT_FOUND")
    }

    // MARK: Records

    @Test func refusedAndPrivilegedAccessesAreRecordedOnceEach() throws {
        let sink = RecordingSink()
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)], audit: sink))
        let key = try self.key(harness, ["READ", "ERASE"])
        let created = try #require(sink.records.first)
        #expect(created.keyName == Keys.name(1) && created.project == "default")
        #expect(created.lsn > 0 && !created.peer.isEmpty && created.timeMicroseconds > 0)
        #expect(sink.take() == ["CreateKey 0 "])
        // Reads are not recorded, and writes of others than operators are not.
        _ = try harness.call("GetProfile", Requests.person("anna"), key: key)
        #expect(sink.take().isEmpty)
        for method in ["Track", "EraseProfile", "Track"] {
            let isTrack = method == "Track"
            _ = try harness.call(
                method, isTrack ? Requests.track("anna", ["e1"]) : Requests.person("anna"),
                key: isTrack ? Self.operator : key)
        }
        #expect(sink.take() == ["Track 0 ", "EraseProfile 0 ", "Track 9 IDENTIFIER_ERASED"])
        _ = try harness.call("Track", Requests.track("anna", ["e1"]), key: key)
        _ = try harness.call("EraseProfile", #"{"project":"other"}"#, key: key)
        _ = try harness.call("GetProfile", Requests.person("anna"), key: Keys.text(9))
        _ = try harness.call("GetProfile", Requests.person("anna"))
        #expect(
            sink.take() == [
                "Track 7 scope", "EraseProfile 7 project", "GetProfile 16 unknown",
                "GetProfile 16 missing",
            ])
    }

    /// What a client sends in place of a project is recorded only if it is the name of one.
    @Test func recordsNameTheProjectOfInvalidRequestsAndOfRefusedKeys() throws {
        let sink = RecordingSink()
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)], audit: sink))
        let key = try self.key(harness, ["READ", "ERASE"])
        _ = sink.take()
        for (method, request) in [
            (RPCMethod.profiles("Track"), #"{"project":"shop","events":[{"name":"a b"}]}"#),
            (.admin("CreateProject"), #"{"project":"new","options":{"merge_policy":9}}"#),
            (.admin("UpdateProject"), #"{"project":"shop","update_mask":"x"}"#),
            (.admin("CreateKey"), #"{"project":"shop"}"#),
            (.profiles("EraseProfile"), #"{"project":"anna@example.org"}"#),
            (.admin("Backup"), #"{"destination":"monday"}"#),
        ] {
            _ = try? harness.call(method, request, key: Self.operator)
        }
        #expect(sink.records.allSatisfy { $0.code == .invalidArgument })
        #expect(sink.records.map(\.project) == ["shop", "new", "shop", "shop", "", ""])
        _ = sink.take()
        _ = try harness.call("Track", Requests.track("anna", ["e1"]), key: key)
        _ = try harness.call("EraseProfile", #"{"project":"other"}"#, key: key)
        _ = try harness.call("GetProfile", Requests.person("anna"), key: Keys.text(9))
        #expect(sink.records.map(\.project) == ["default", "default", ""])
    }

    @Test func anOpenNodeRecordsToo() throws {
        let sink = RecordingSink()
        let harness = try NodeHarness.serving(access: AccessControl(audit: sink))
        _ = try harness.call("Track", Requests.track("anna", ["e1"]))
        _ = try harness.call("GetProfile", Requests.person("anna"))
        #expect(sink.records.map(\.keyName) == [nil])
        #expect(sink.take() == ["Track 0 "])
    }
}
