import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import TestSupport
import Testing

/// Acknowledgements of WatchTriggers under pressure, and the keys of its calls.
@Suite struct NodeTriggerAcknowledgementTests {
    private static func ids(_ firings: some Sequence<String>) throws -> JSONValue {
        let ids = firings.map { "\"\($0)\"" }.joined(separator: ",")
        return try Requests.json(#"{"acknowledged_firing_ids":[\#(ids)]}"#)
    }

    @Test func clientThatAcknowledgesFasterThanTheWorkerTakesIsHeldBackAndLosesNothing() throws {
        let harness = try NodeHarness.serving(configure: {
            $0.triggerStreams.acknowledgementsMax = 1
            $0.triggerStreams.settlementsMax = 2
        })
        let trigger = try harness.makeTrigger()
        for number in 0 ..< 60 { try harness.visit("p\(number)", "e\(number)") }
        let stream = try TriggerClient(harness, trigger)
        #expect(stream.deliveries.count == 60)
        for firing in stream.firings.dropLast(2) {
            try stream.client.send(try Self.ids([firing, firing]), on: stream.call)
        }
        try harness.settle()
        #expect(try harness.pending(trigger) == 2)
        try stream.acknowledgeAll()
        #expect(try harness.pending(trigger) == 0)
        #expect(!stream.call.hasEnded)
    }

    @Test func acknowledgementsWaitForSpaceOnTheDisk() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger(#","ack_deadline_seconds":10"#)
        try harness.visit("anna", "e1", "e2")
        let stream = try TriggerClient(harness, trigger)
        harness.disk.limit(toBytes: 0)
        // Until the space that the log has prepared is used.
        let text = String(repeating: "x", count: 290)
        let texts = (0 ..< 20).map { #""a\#($0)":"\#(text)""# }.joined(separator: ",")
        var (number, reason) = (0, "")
        while reason.isEmpty, number < 1_000 {
            number += 1
            let attributes = texts + #","n":\#(number)"#
            reason = try harness.call("Identify", Requests.identify("bob", attributes)).reason
        }
        #expect(reason == "DISK_FULL")
        let pipeline = try #require(harness.node.recovered).pipeline
        #expect(pipeline.isDiskFull)
        try stream.acknowledge([stream.firings[0]])
        try harness.pass(milliseconds: 12_000)
        #expect(try harness.pending(trigger) == 2)
        #expect(stream.events == ["e1", "e2", "e2"], "what is acknowledged does not come again")
        harness.disk.limit(toBytes: 1 << 40)
        try harness.pass(milliseconds: 2_500)
        #expect(try harness.pending(trigger) == 1)
        #expect(!stream.call.hasEnded && stream.events == ["e1", "e2", "e2"])
    }

    @Test func revokedKeyEndsItsStreamsAndTheirFiringsGoToOthers() throws {
        let operatorKey = Keys.text(1)
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]))
        let made = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_ADMIN"]}"#,
            key: operatorKey)
        let key = try #require(made.response?["key"]?.text, "\(made.message)")
        let trigger = try #require(
            try harness.call(
                "CreateTrigger", #"{"project":"default","trigger":{"event_name":"visit"}}"#,
                key: operatorKey
            ).response?["trigger"]?["trigger_id"]?.text)
        let streams = try [key, operatorKey].map { key -> WireCall in
            let client = try harness.connect(key: key)
            let call = try client.open(.profiles("WatchTriggers"))
            try client.send(
                try Requests.json(#"{"project":"default","trigger_id":"\#(trigger)"}"#), on: call)
            try harness.settle()
            return call
        }
        let track = try harness.call("Track", Requests.track("anna", ["e1"]), key: operatorKey)
        #expect(track.status == 0 && streams.map(\.messages.count) == [2, 1])
        let id = made.response?["key_id"]?.text ?? ""
        let revoked = try harness.call(
            .admin("RevokeKey"), #"{"project":"default","key_id":"\#(id)"}"#, key: operatorKey)
        #expect(revoked.status == 0, "\(revoked.message)")
        try harness.pass(milliseconds: 1_000)
        #expect(streams[0].status == 16 && streams[0].reason == "KEY_INVALID")
        #expect(streams[1].responses.last?["delivery_attempt"]?.integer == 2)
    }
}
