import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import TestSupport
import Testing

/// Consumers that come, go, stall and die at random, over a server that is killed at random.
@Suite struct NodeTriggerStreamSeedTests {
    /// One run: the harness of the life, its streams, and what is known of the firings.
    private final class World {
        var harness: NodeHarness
        var trigger: String
        var streams: [TriggerClient] = []
        /// Ids of the events that were stored, and of those of people who were erased.
        var stored: Set<String> = []
        var erased: Set<String> = []
        /// Acknowledged, and the server had come to rest since.
        var settled: Set<String> = []
        var ids: [String: String] = [:]
        var random: SeededRandom
        var number = 0

        init(seed: UInt64) throws {
            self.random = SeededRandom(seed: seed)
            self.harness = try NodeHarness.serving(order: seed, configure: { $0.loops = 2 })
            self.trigger = try self.harness.makeTrigger(#","ack_deadline_seconds":10"#)
        }

        func pick(_ count: Int) -> Int { Int.random(in: 0 ..< count, using: &self.random) }

        func act() throws {
            switch self.pick(20) {
            case 0 ..< 8: try self.visit()
            case 8 ..< 11: try self.open()
            case 11 ..< 15: try self.acknowledgeSome()
            case 15: try self.cancelOne()
            case 16: try self.harness.pass(milliseconds: 3_000)
            case 17: try self.eraseOne()
            case 18: try self.stallOne()
            default: try self.kill()
            }
            self.check()
        }

        private func visit() throws {
            self.number += 1
            let (person, event) = ("p\(self.number % 7)-\(self.erased.count)", "e\(self.number)")
            try self.harness.visit(person, event)
            self.stored.insert(event)
            self.people[person, default: []].insert(event)
        }

        var people: [String: Set<String>] = [:]

        private func open() throws {
            guard self.streams.count < 4 else { return }
            self.streams.append(
                try TriggerClient(self.harness, self.trigger, inFlight: 1 + self.pick(5)))
        }

        private func acknowledgeSome() throws {
            guard let stream = self.streams.randomElement(using: &self.random) else { return }
            let firings = stream.firings.filter { _ in self.pick(2) == 0 }
            guard !firings.isEmpty else { return }
            try stream.acknowledge(firings)
            if stream.client.isReading { self.settled.formUnion(firings) }
        }

        private func cancelOne() throws {
            guard !self.streams.isEmpty else { return }
            let stream = self.streams.remove(at: self.pick(self.streams.count))
            self.note(stream)
            try stream.cancel()
        }

        private func stallOne() throws {
            guard let stream = self.streams.randomElement(using: &self.random) else { return }
            stream.client.isReading.toggle()
            try self.harness.settle()
        }

        private func eraseOne() throws {
            guard let (person, events) = self.people.min(by: { $0.key < $1.key }) else { return }
            let call = try self.harness.call("EraseProfile", Requests.person(person))
            #expect(call.status == 0)
            self.people[person] = nil
            self.erased.formUnion(events)
        }

        private func kill() throws {
            for stream in self.streams { self.note(stream) }
            self.streams = []
            self.attempts = [:]
            self.harness = try NodeHarness.serving(
                self.harness.kill(), clock: self.harness.clock, order: UInt64(self.number),
                configure: { $0.loops = 2 })
        }

        /// Attempts of this life that were seen on streams that are gone.
        private var attempts: [String: Set<Int64>] = [:]

        private func note(_ stream: TriggerClient) {
            for delivery in stream.deliveries {
                guard let firing = delivery["firing_id"]?.text,
                    let attempt = delivery["delivery_attempt"]?.integer
                else { continue }
                let isNew = self.attempts[firing, default: []].insert(attempt).inserted
                #expect(isNew, "the same attempt of \(firing) on two streams")
                let event = delivery["event"]?["event_id"]?.text ?? ""
                #expect(self.ids[event] ?? firing == firing, "two ids for one firing")
                self.ids[event] = firing
            }
        }

        /// No attempt is on two streams.
        private func check() {
            let kept = self.attempts
            for stream in self.streams { self.note(stream) }
            self.attempts = kept
        }

        /// One consumer acknowledges everything that is left.
        func finish() throws {
            for stream in self.streams {
                self.note(stream)
                try stream.cancel()
            }
            self.streams = []
            let last = try TriggerClient(self.harness, self.trigger, inFlight: 10_000)
            for _ in 0 ..< 3 {
                try last.acknowledgeAll()
                try self.harness.pass(milliseconds: 6_000)
            }
            #expect(!last.call.hasEnded)
            self.note(last)
            #expect(self.settled.isDisjoint(with: last.firings), "it was settled before")
            #expect(self.stored.subtracting(self.erased).isSubset(of: self.ids.keys))
            #expect(self.erased.isDisjoint(with: last.events))
            #expect(try self.harness.pending(self.trigger) == 0)
        }
    }

    @Test(arguments: 1 ... 12 as ClosedRange<UInt64>)
    func eachFiringIsDeliveredUntilItIsAcknowledged(seed: UInt64) throws {
        let world = try World(seed: seed)
        for _ in 0 ..< 120 { try world.act() }
        try world.finish()
        #expect(world.stored.count > 20)
    }
}
