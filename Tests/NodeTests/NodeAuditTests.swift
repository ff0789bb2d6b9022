import IOSimulation
import ProfileClient
import TestSupport
import Testing

@testable import ProfileService

/// What is recorded of calls that end otherwise than with their response, and of refused streams.
@Suite struct NodeAuditTests {
    private static let `operator` = Keys.text(1)
    private let sink = RecordingSink()

    private func serving(configure: (inout NodeConfiguration) -> Void = { _ in }) throws
        -> NodeHarness
    {
        try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)], audit: self.sink),
            configure: configure)
    }

    /// How the client of a call goes while its command is in the log.
    enum Departure: CaseIterable { case connectionLost, streamReset, deadline, drain }

    /// Starts an EraseProfile of `anna` and steps until its command is in the log.
    private func erase(_ harness: NodeHarness) throws -> (WireClient, WireCall) {
        _ = try harness.call("Track", Requests.track("anna", ["e1"]), key: Self.operator)
        _ = self.sink.take()
        let client = try harness.connect(key: Self.operator)
        let call = try client.open(
            .profiles("EraseProfile"), metadata: [("grpc-timeout", "100m")])
        try client.send(try Requests.json(Requests.person("anna")), on: call)
        client.finishRequests(of: call)
        let pipeline = try #require(harness.node.recovered?.pipeline)
        while pipeline.metrics.commandsWaiting == 0 { #expect(try harness.stepOne()) }
        return (client, call)
    }

    @Test(arguments: Departure.allCases)
    func durableWriteWhoseClientHasGoneIsRecordedAsCarriedOut(departure: Departure) throws {
        let harness = try self.serving()
        let (client, call) = try self.erase(harness)
        switch departure {
        case .connectionLost: client.cut()
        case .streamReset:
            client.cancel(call)
            #expect(client.turn())
        case .deadline: harness.clock.advance(nanoseconds: 200_000_000)
        case .drain:
            client.cut()
            try harness.drain()
        }
        try harness.settle()
        #expect(call.status == (departure == .deadline ? 4 : nil))
        let records = self.sink.records
        #expect(self.sink.take() == ["EraseProfile 0 "])
        let record = try #require(records.first)
        #expect(record.lsn > 0 && !record.peer.isEmpty && record.project == "default")
        #expect(record.keyName == Keys.name(1) && !record.isDenial)
    }

    /// Its command never got into the log.
    @Test func writeThatWasAbandonedBeforeTheLogIsRecordedAsCancelled() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.operator)
        let call = try client.call(
            .profiles("EraseProfile"), try Requests.json(Requests.person("anna")))
        #expect(client.turn())
        client.cancel(call)
        #expect(client.turn())
        try harness.settle()
        let record = try #require(self.sink.records.first)
        #expect(self.sink.take() == ["EraseProfile 1 "])
        #expect(record.lsn == 0 && !record.peer.isEmpty)
    }

    @Test func lostStreamIsOneRecordWithItsLastOperation() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.operator)
        let stream = try client.open(.profiles("TrackStream"))
        try client.send(try Requests.json(Requests.track("anna", ["e1", "e2"])), on: stream)
        let pipeline = try #require(harness.node.recovered?.pipeline)
        while pipeline.metrics.commandsWaiting == 0 { #expect(try harness.stepOne()) }
        client.cut()
        try harness.settle()
        let record = try #require(self.sink.records.first)
        #expect(self.sink.take() == ["TrackStream 1 "])
        #expect(record.lsn > 0 && !record.peer.isEmpty)
    }

    // MARK: Refused streams

    @Test func streamThatEndsWithItsKeyIsCountedAndRecordedOnce() throws {
        let harness = try self.serving()
        let made = try harness.call(
            .admin("CreateKey"), #"{"operator":true}"#, key: Self.operator)
        let key = try #require(made.response?["key"]?.text)
        let stream = try harness.connect(key: key).open(.profiles("TrackStream"))
        try harness.settle()
        _ = self.sink.take()
        let id = made.response?["key_id"]?.text ?? ""
        _ = try harness.call(
            .admin("RevokeKey"), #"{"project":"","key_id":"\#(id)"}"#, key: Self.operator)
        try harness.pass(milliseconds: 1_000)
        #expect(stream.hasEnded && stream.status == 16)
        let records = self.sink.records
        #expect(Set(self.sink.take()) == ["RevokeKey 0 ", "TrackStream 16 revoked"])
        let refused = try #require(records.first { $0.isDenial })
        #expect(records.count == 2 && refused.keyName?.description == id && !refused.peer.isEmpty)
        #expect(harness.node.accessMetrics.count(of: .revoked) == 1)
    }

    @Test func streamThatEndsWithTheTimeOfItsKeyIsRecordedToo() throws {
        let harness = try self.serving()
        let seconds = harness.clock.wallMicroseconds() / 1_000_000 + 2
        let expiry = TimeText.text(seconds: seconds, nanoseconds: 0)
        let made = try harness.call(
            .admin("CreateKey"),
            #"{"project":"default","scopes":["SCOPE_WRITE"],"expires_at":"\#(expiry)"}"#,
            key: Self.operator)
        _ = self.sink.take()
        let client = try harness.connect(key: try #require(made.response?["key"]?.text))
        _ = try client.open(.profiles("TrackStream"))
        try harness.pass(milliseconds: 3_100)
        #expect(self.sink.take() == ["TrackStream 16 expired"])
        #expect(harness.node.accessMetrics.count(of: .expired) == 1)
    }

    // MARK: Reasons

    @Test func failedBackupIsRecordedWithItsReason() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.operator)
        let calls = try ["/b", "/c"].map {
            try client.call(.admin("Backup"), try Requests.json(#"{"destination":"\#($0)"}"#))
        }
        try harness.wait(for: "the backups") { calls.allSatisfy(\.hasEnded) }
        #expect(self.sink.take() == ["Backup 8 RATE_EXCEEDED", "Backup 0 "])
    }

    // MARK: Secrets

    @Test func secretForACallThatHasEndedIsNotEncoded() throws {
        let harness = try self.serving()
        let client = try harness.connect(key: Self.operator)
        _ = try client.call(
            .admin("CreateKey"),
            try Requests.json(#"{"project":"default","scopes":["SCOPE_READ"]}"#))
        let pipeline = try #require(harness.node.recovered?.pipeline)
        while pipeline.metrics.commandsWaiting == 0 { #expect(try harness.stepOne()) }
        client.cut()
        try harness.settle()
        #expect(self.sink.take() == ["CreateKey 0 "])
        let service = harness.node.serving[0].handler
        // The response is there, with the id and without the key.
        let text = String(decoding: service.response.bytes, as: UTF8.self)
        #expect(service.response.count > 0 && !text.contains("pk_"))
        #expect(service.returnedSecrets == nil)
    }
}
