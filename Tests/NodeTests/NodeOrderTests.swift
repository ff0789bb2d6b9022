import IOSimulation
import ProfileClient
import ProfileService
import TestSupport
import Testing

/// Components run in any order: the state depends on the requests only.
@Suite struct NodeOrderTests {
    /// What a client of its own people does, one call after the other.
    private static func workload(_ client: Int) -> [(method: String, request: String)] {
        let name = "c\(client)"
        let batch = ["c", "d"].map { #"{"track":\#(Requests.track(name, [$0]))}"# }
        return [
            ("Identify", Requests.identify(name, #""n":\#(client)"#)),
            ("Track", Requests.track(name, ["a"])), ("Track", Requests.track(name, ["b"])),
            ("Track", Requests.track(name, ["a"])),
            ("UpdateSubscription", Requests.subscription(name, "subscribed", source: "user")),
            (
                "BatchWrite",
                #"{"project":"default","operations":[\#(batch.joined(separator: ","))]}"#
            ),
            ("EraseProfile", Requests.person("\(name)-gone")),
        ]
    }

    /// Runs the workload of some clients at once; what can be seen of each person at the end.
    private static func run(order: UInt64) throws -> (seen: [String], statuses: [Int32?]) {
        let clients = 4
        let harness = try NodeHarness.serving(order: order, configure: { $0.loops = 2 })
        var statuses = [Int32?](repeating: nil, count: 0)
        let connections = try (0 ..< clients).map { _ in try harness.connect() }
        var current: [WireCall?] = Array(repeating: nil, count: clients)
        var next = Array(repeating: 0, count: clients)
        var ended: [[Int32?]] = Array(repeating: [], count: clients)
        while next.indices.contains(where: {
            next[$0] < Self.workload($0).count || current[$0] != nil
        }) {
            for client in 0 ..< clients {
                if let call = current[client], call.hasEnded {
                    ended[client].append(call.status)
                    current[client] = nil
                }
                guard current[client] == nil, next[client] < Self.workload(client).count else {
                    continue
                }
                let (method, request) = Self.workload(client)[next[client]]
                next[client] += 1
                current[client] = try connections[client].call(
                    .profiles(method), try Requests.json(request))
            }
            if try !harness.stepOne() { harness.clock.advance(nanoseconds: 1_000_000) }
        }
        for list in ended { statuses += list }
        let seen = try (0 ..< clients).map { client -> String in
            let read = try harness.call(
                "GetProfile", Requests.person("c\(client)"))
            let profile = read.response?["profile"]
            let counts = (profile?["event_counters"]?.items ?? []).map {
                "\($0["name"] ?? .null)=\($0["count"] ?? .null)"
            }
            return "\(profile?["attributes"] ?? .null) \(counts)"
        }
        // What was applied live is what a replay of the log gives.
        let digest = harness.node.recovered?.store.digest()
        let again = try NodeHarness.serving(harness.kill(), order: order)
        #expect(again.node.recovered?.store.digest() == digest, "order \(order)")
        return (seen, statuses)
    }

    @Test func fiftyOrdersOfTheComponentsGiveTheSameState() throws {
        let first = try Self.run(order: 0)
        #expect(first.seen.allSatisfy { $0.contains("visit") && $0.contains("4") })
        #expect(first.statuses.allSatisfy { $0 == 0 })
        for order in 1 ..< 50 as Range<UInt64> {
            let other = try Self.run(order: order)
            #expect(other.seen == first.seen, "order \(order)")
            #expect(other.statuses == first.statuses, "order \(order)")
        }
    }

    /// A seed repeats a run to the last byte on the disk.
    @Test func sameSeedGivesTheSameDisk() throws {
        func disk() throws -> [[UInt8]] {
            let harness = try NodeHarness.serving(order: 7)
            let client = try harness.connect()
            for number in 0 ..< 20 {
                let request =
                    Requests.track("p\(number)", ["e"])
                _ = try client.call(.profiles("Track"), try Requests.json(request))
                _ = try harness.stepOne()
            }
            try harness.pass(milliseconds: 300)
            return harness.disk.snapshot.files.map { Array($0.path.utf8) + $0.content }
        }
        #expect(try disk() == disk())
    }
}
