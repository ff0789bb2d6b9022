import Foundation
import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// A node whose machine had a clock that ran ahead, and is right again.
@Suite struct NodeClockTests {
    private static let second: Int64 = 1_000_000
    private static let day: Int64 = 86_400 * second

    /// A node that was started once while the clock was ahead, took one write, and was killed.
    ///
    /// - Parameter days: How far ahead the clock was.
    private static func start(_ log: TestLog, days: Int64 = 3) throws -> (TestWorld, NodeHarness) {
        let world = log.world()
        world.clock.jump(microseconds: days * Self.day)
        let first = try world.start()
        #expect(try first.call("Track", Requests.track("early", ["1"])).status == 0)
        try first.pass(milliseconds: 300)
        let disk = first.kill()
        world.clock.jump(microseconds: -days * Self.day)
        return (world, try world.start(disk))
    }

    private static func subscribe(_ harness: NodeHarness, _ state: String) throws -> WireCall {
        let call = try harness.call(
            "UpdateSubscription", Requests.subscription("anna", state, source: "user"))
        #expect(call.status == 0, "\(call.message)")
        return call
    }

    /// A time as text, in whole seconds.
    private static func text(_ microseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(microseconds / Self.second)).ISO8601Format()
    }

    private static func event(_ id: String, at microseconds: Int64) -> String {
        #"{"event_id":"\#(id)","name":"visit","occurred_at":"\#(Self.text(microseconds))"}"#
    }

    private static func track(
        _ harness: NodeHarness, _ events: [String], more: String = ""
    ) throws -> WireCall {
        try harness.call(
            "Track",
            #"{"project":"default","identifier":{"custom_id":"anna"},"#
                + #""events":[\#(events.joined(separator: ","))]\#(more)}"#)
    }

    @Test(arguments: TestLog.allCases)
    func optInAfterAnOptOutWinsWhileTheClockIsBehind(log: TestLog) throws {
        let (world, harness) = try Self.start(log)
        for state in ["unsubscribed", "subscribed", "unsubscribed", "subscribed"] {
            // The clock does not even move between two calls.
            let call = try Self.subscribe(harness, state)
            let result = call.response?["results"]?.items.first
            #expect(result?["applied"]?.isTrue == true)
            #expect(
                result?["state"]?.text == "SUBSCRIPTION_STATE_\(state.uppercased())")
        }
        // Replayed with the same times.
        let digest = harness.node.recovered?.store.digest()
        let again = try world.start(harness.kill())
        #expect(again.node.recovered?.store.digest() == digest)
    }

    @Test(arguments: TestLog.allCases)
    func callsOfOneFrameAreAMicrosecondApart(log: TestLog) throws {
        let harness = try log.world().start()
        let client = try harness.connect()
        let calls = try (0 ..< 20).map { number in
            try client.call(
                .profiles("Track"), try Requests.json(Requests.track("p\(number)", ["\(number)"])))
        }
        try harness.wait(for: "the calls") { calls.allSatisfy(\.hasEnded) }
        let times = try (0 ..< 20).map { number in
            try harness.call("GetProfile", Requests.person("p\(number)"))
                .response?["profile"]?["created_at"]?.text ?? ""
        }
        #expect(Set(times).count == 20 && !times.contains(""))
        // Without the last letter and with all digits, so that they compare as numbers.
        let digits = times.map { time in
            let text = time.dropLast()
            return text + String(repeating: "0", count: max(0, 26 - text.count))
        }
        #expect(digits == digits.sorted(), "\(times)")
    }

    @Test(arguments: TestLog.allCases)
    func windowsFollowTheMachinesClock(log: TestLog) throws {
        let (world, harness) = try Self.start(log)
        let now = world.clock.wallMicroseconds()
        let good = try Self.track(
            harness,
            [
                Self.event("now", at: now), Self.event("hour", at: now - 3_600 * Self.second),
                Self.event("edge", at: now - Self.day + Self.second),
            ])
        #expect(good.status == 0, "\(good.message)")
        let late = try Self.track(harness, [Self.event("late", at: now - Self.day - Self.second)])
        #expect(late.status == 11 && late.reason == "TIME_WINDOW")
        let ahead = try Self.track(harness, [Self.event("ahead", at: now + 2 * Self.day)])
        #expect(ahead.status == 11 && ahead.reason == "TIME_WINDOW")
        // A client whose own clock is wrong: only the time between the two counts.
        let sent = try Self.track(
            harness, [Self.event("sent", at: now - 90 * Self.day)],
            more: #","sent_at":"\#(Self.text(now - 90 * Self.day + 60 * Self.second))""#)
        #expect(sent.status == 0, "\(sent.message)")
        let list = try harness.call("ListEvents", Requests.person("anna"))
        #expect(list.response?["events"]?.items.count == 4)
    }

    @Test func eventsAreRetainedByTheMachinesClock() throws {
        // By the time of the one early write every event of today would be past its retention.
        let (world, harness) = try Self.start(.local, days: 1_000)
        let now = world.clock.wallMicroseconds()
        #expect(try Self.track(harness, [Self.event("now", at: now)]).status == 0)
        #expect(try Self.track(harness, [Self.event("then", at: now)]).status == 0)
        try harness.pass(milliseconds: 30_000)
        let list = try harness.call("ListEvents", Requests.person("anna"))
        #expect(list.response?["events"]?.items.count == 2)
        let again = try world.start(harness.kill())
        let same = try again.call("ListEvents", Requests.person("anna"))
        #expect(same.response?["events"]?.items.count == 2)
    }

    @Test func requestIDsAreKnownAndForgottenByTheMachinesClock() throws {
        let (world, harness) = try Self.start(.local)
        let request = Requests.track("anna", ["1"], more: #","request_id":"r""#)
        #expect(try harness.call("Track", request).response?["replayed"]?.isTrue != true)
        #expect(try harness.call("Track", request).response?["replayed"]?.isTrue == true)
        world.clock.advance(nanoseconds: 3_600_000_000_000)
        #expect(try harness.call("Track", request).response?["replayed"]?.isTrue == true)
    }

    @Test func ticksContinueWhileTheClockIsBehind() throws {
        // What is past due by the machine's clock goes, although calls have times far ahead.
        let world = TestLog.local.world()
        let first = try world.start { $0.store.eventRetentionSeconds = 3_600 }
        #expect(try first.call("Track", Requests.track("anna", ["1"])).status == 0)
        world.clock.jump(microseconds: 1_800 * Self.second)
        #expect(try first.call("Track", Requests.track("bert", ["1"])).status == 0)
        try first.pass(milliseconds: 11_000)
        world.clock.jump(microseconds: -1_800 * Self.second)
        world.clock.jump(microseconds: 900 * Self.second)
        #expect(try first.call("Track", Requests.track("carl", ["1"])).status == 0)
        #expect(first.node.recovered?.pipeline.metrics.memory?.retainedEvents == 3)
        world.clock.advance(nanoseconds: 2_760 * 1_000_000_000)
        try first.pass(milliseconds: 31_000)
        #expect(first.node.recovered?.pipeline.metrics.memory?.retainedEvents == 2)
    }

    @Test func operatorIsToldHowFarTheClockIsBehind() throws {
        let (world, harness) = try Self.start(.local)
        let metrics = try #require(harness.node.recovered?.pipeline.metrics)
        #expect(abs(metrics.clockBehindSeconds - 259_200) < 2)
        func events() -> [ClockEvent] {
            harness.events.compactMap { if case .clock(let event) = $0 { event } else { nil } }
        }
        guard case .behind(let seconds) = events().first else {
            Issue.record("nothing was reported")
            return
        }
        #expect(abs(seconds - 259_200) < 2)
        // Not with every call.
        for number in 0 ..< 20 {
            #expect(try harness.call("Track", Requests.track("anna", ["\(number)"])).status == 0)
            try harness.pass(milliseconds: 1_000)
        }
        #expect(events().count == 1)
        world.clock.jump(microseconds: 3 * Self.day)
        try harness.pass(milliseconds: 12_000)
        #expect(events().last == .caughtUp && events().count == 2)
        #expect(metrics.clockBehindSeconds == 0)
    }
}
