import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import TestSupport
import Testing

/// WatchTriggers on a whole node: who gets which firing, when, and for how long.
@Suite struct NodeTriggerStreamTests {
    @Test func firingsComeInTheirOrderUntilTheyAreAcknowledged() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        try harness.visit("anna", "e1")
        let stream = try TriggerClient(harness, trigger)
        #expect(stream.heartbeats.count == 1 && stream.events == ["e1"])
        try harness.visit("bob", "e2", "e3")
        #expect(stream.events == ["e1", "e2", "e3"] && stream.attempts == [1, 1, 1])
        let first = try #require(stream.deliveries.first)
        #expect(first["trigger_id"]?.text == trigger && first["custom_id"]?.text == "anna")
        #expect(first["lsn"] == first["event"]?["lsn"] && first["profile_id"]?.text?.count == 26)
        #expect(try harness.pending(trigger) == 3)
        try stream.acknowledge([stream.firings[1]])
        #expect(try harness.pending(trigger) == 2)
        try stream.acknowledgeAll()
        #expect(try harness.pending(trigger) == 0)
        try harness.pass(milliseconds: 70_000)
        #expect(stream.deliveries.count == 3 && !stream.call.hasEnded)
        let counts = try #require(harness.node.recovered).store.triggers.counts
        #expect(counts.acknowledged == 3)
    }

    @Test func heartbeatComesAtLeastEveryFiveSeconds() throws {
        let harness = try NodeHarness.serving()
        let stream = try TriggerClient(harness, try harness.makeTrigger())
        for count in 1 ... 5 {
            #expect(stream.heartbeats.count == count)
            #expect(stream.heartbeats.allSatisfy { $0["heartbeat"] == .bool(true) })
            try harness.pass(milliseconds: 5_000)
        }
    }

    @Test func unacknowledgedFiringComesAgainAfterItsDeadline() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger(#","ack_deadline_seconds":10"#)
        let stream = try TriggerClient(harness, trigger)
        try harness.visit("anna", "e1", "e2")
        try stream.acknowledge([stream.firings[0]])
        try harness.pass(milliseconds: 9_900)
        #expect(stream.events == ["e1", "e2"])
        try harness.pass(milliseconds: 200)
        #expect(stream.events == ["e1", "e2", "e2"] && stream.attempts == [1, 1, 2])
        #expect(Set(stream.firings).count == 2)
        try harness.pass(milliseconds: 10_100)
        #expect(stream.attempts == [1, 1, 2, 3])
        try stream.acknowledgeAll()
        try harness.pass(milliseconds: 30_000)
        #expect(stream.deliveries.count == 4)
        #expect(try #require(harness.node.recovered).triggers.metrics.expirations == 2)
    }

    @Test func streamHasNoMoreUnacknowledgedThanItWants() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        let stream = try TriggerClient(harness, trigger, inFlight: 2)
        for number in 1 ... 5 { try harness.visit("p\(number)", "e\(number)") }
        #expect(stream.events == ["e1", "e2"])
        try stream.acknowledge([stream.firings[1]])
        #expect(stream.events == ["e1", "e2", "e3"])
        try stream.acknowledgeAll()
        #expect(stream.events == ["e1", "e2", "e3", "e4", "e5"])
        // Without a number it is a hundred.
        for number in 1 ... 15 {
            let ids = (1 ... 10).map { "\"many\(number)-\($0)\"" }
            _ = try harness.call(
                "Track",
                Requests.track("anna", ids.map { String($0.dropFirst().dropLast()) }))
        }
        let other = try TriggerClient(harness, trigger)
        #expect(other.deliveries.count == 100)
    }

    @Test func streamsShareTheFiringsOfATrigger() throws {
        let harness = try NodeHarness.serving(configure: { $0.loops = 2 })
        let trigger = try harness.makeTrigger()
        let streams = try (0 ..< 3).map { _ in try TriggerClient(harness, trigger) }
        for number in 0 ..< 30 { try harness.visit("p\(number)", "e\(number)") }
        #expect(streams.allSatisfy { $0.deliveries.count == 10 })
        let all = streams.flatMap(\.firings)
        #expect(Set(all).count == 30 && all.count == 30)
        for stream in streams { try stream.acknowledgeAll() }
        #expect(try harness.pending(trigger) == 0)
    }

    @Test func firingsOfAStreamThatEndsGoToAnother() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        let first = try TriggerClient(harness, trigger)
        try harness.visit("anna", "e1", "e2", "e3")
        try first.acknowledge([first.firings[1]])
        let second = try TriggerClient(harness, trigger)
        #expect(second.deliveries.isEmpty)
        try first.cancel()
        #expect(second.events == ["e1", "e3"] && second.attempts == [2, 2])
        #expect(Set(second.firings).isSubset(of: Set(first.firings)))
        try second.cancel()
        // Nobody is there: they wait, and their attempts are remembered.
        try harness.visit("bob", "e4")
        let third = try TriggerClient(harness, trigger)
        #expect(third.events == ["e1", "e3", "e4"] && third.attempts == [3, 3, 1])
        let triggers = try #require(harness.node.recovered).triggers
        #expect(triggers.metrics.releases == 4 && triggers.metrics.expirations == 0)
        #expect(triggers.streams == 1)
    }

    @Test func expiredFiringGoesToAnotherStreamIfThereIsOne() throws {
        let harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger(#","ack_deadline_seconds":10"#)
        let stuck = try TriggerClient(harness, trigger)
        try harness.visit("anna", "e1", "e2", "e3")
        let other = try TriggerClient(harness, trigger)
        try harness.pass(milliseconds: 10_100)
        #expect(stuck.deliveries.count == 3 && other.events == ["e1", "e2", "e3"])
        #expect(other.attempts == [2, 2, 2])
        // A late acknowledgement counts, wherever the firing is.
        try stuck.acknowledgeAll()
        #expect(try harness.pending(trigger) == 0)
        try harness.pass(milliseconds: 30_000)
        #expect(stuck.deliveries.count == 3 && other.deliveries.count == 3)
    }

    @Test(arguments: 1 ... 20 as ClosedRange<UInt64>)
    func halfClosedStreamEndsOnceItsAcknowledgementsAreDurable(seed: UInt64) throws {
        let harness = try NodeHarness.serving(order: seed)
        let trigger = try harness.makeTrigger()
        try harness.visit("anna", "e1", "e2")
        let stream = try TriggerClient(harness, trigger)
        try stream.client.send(
            try Requests.json(#"{"acknowledged_firing_ids":["\#(stream.firings[0])"]}"#),
            on: stream.call)
        stream.client.finishRequests(of: stream.call)
        // Not a step further than to its end.
        while try !stream.call.hasEnded && harness.stepOne() {}
        #expect(stream.call.status == 0)
        let again = try NodeHarness.serving(harness.kill())
        #expect(try TriggerClient(again, trigger).events == ["e2"])
    }

    @Test func acknowledgementsSurviveAKillAndTheRestComesAgain() throws {
        var harness = try NodeHarness.serving()
        let trigger = try harness.makeTrigger()
        var before = try TriggerClient(harness, trigger)
        for number in 1 ... 6 { try harness.visit("p\(number)", "e\(number)") }
        try before.acknowledge(Array(before.firings.prefix(3)))
        let firings = before.firings
        harness = try NodeHarness.serving(harness.kill())
        before = try TriggerClient(harness, trigger)
        #expect(before.firings == Array(firings.suffix(3)) && before.attempts == [1, 1, 1])
        // What the process before delivered can be acknowledged here, also with the first message.
        harness = try NodeHarness.serving(harness.kill())
        let client = try harness.connect()
        let call = try client.open(.profiles("WatchTriggers"))
        try client.send(
            try Requests.json(
                #"{"project":"default","trigger_id":"\#(trigger)","#
                    + #""acknowledged_firing_ids":["\#(firings[4])"]}"#), on: call)
        try harness.settle()
        #expect(call.responses.compactMap { $0["firing_id"]?.text } == [firings[3], firings[5]])
        #expect(try harness.pending(trigger) == 2)
    }

    @Test func unknownSettledAndOthersFiringsAreIgnored() throws {
        let harness = try NodeHarness.serving()
        let (trigger, other) = (try harness.makeTrigger(), try harness.makeTrigger())
        try harness.visit("anna", "e1")
        let (stream, foreign) = (
            try TriggerClient(harness, trigger), try TriggerClient(harness, other)
        )
        let lsn = try #require(harness.node.recovered).store.appliedLSN
        try stream.acknowledge(foreign.firings)
        try stream.acknowledge(["01ARZ3NDEKTSV4RRFFQ69G5FAV", "00000000000000000000000000"])
        #expect(harness.node.recovered?.store.appliedLSN == lsn, "nothing is written for these")
        #expect(try harness.pending(other) == 1)
        try stream.acknowledge(stream.firings + stream.firings)
        try stream.acknowledgeAll()
        #expect(harness.node.recovered?.store.appliedLSN == lsn + 1)
        #expect(!stream.call.hasEnded && !foreign.call.hasEnded)
    }
}
