import ProfileClient
import TestSupport
import Testing

/// A WatchTriggers call of a test.
final class TriggerClient {
    let harness: NodeHarness
    let client: WireClient
    let call: WireCall

    /// Opens a stream on a trigger.
    ///
    /// - Parameter host: Where the client is.
    init(
        _ harness: NodeHarness, _ trigger: String, inFlight: Int = 0, project: String = "default",
        host: String = "127.0.0.1"
    ) throws {
        self.harness = harness
        self.client = try harness.connect(from: host)
        self.call = try self.client.open(.profiles("WatchTriggers"))
        try self.send(
            #"{"project":"\#(project)","trigger_id":"\#(trigger)","in_flight_max":\#(inFlight)}"#)
    }

    func send(_ request: String) throws {
        try self.client.send(try Requests.json(request), on: self.call)
        try self.harness.settle()
    }

    func acknowledge(_ firings: [String]) throws {
        let ids = firings.map { "\"\($0)\"" }.joined(separator: ",")
        try self.send(#"{"acknowledged_firing_ids":[\#(ids)]}"#)
    }

    /// Acknowledges all that came so far.
    func acknowledgeAll() throws { try self.acknowledge(self.firings) }

    /// Ends the stream without notice.
    func cancel() throws {
        self.client.cancel(self.call)
        try self.harness.settle()
    }

    var heartbeats: [JSONValue] { self.call.responses.filter { $0["firing_id"] == nil } }
    var deliveries: [JSONValue] { self.call.responses.filter { $0["firing_id"] != nil } }
    var firings: [String] { self.deliveries.compactMap { $0["firing_id"]?.text } }
    var attempts: [Int64] { self.deliveries.compactMap { $0["delivery_attempt"]?.integer } }
    /// The ids of the delivered events.
    var events: [String] { self.deliveries.compactMap { $0["event"]?["event_id"]?.text } }
}

extension NodeHarness {
    /// Makes a trigger for visits, and returns its id.
    func makeTrigger(_ more: String = "") throws -> String {
        let call = try self.call(
            "CreateTrigger", #"{"project":"default","trigger":{"event_name":"visit"\#(more)}}"#)
        return try #require(call.response?["trigger"]?["trigger_id"]?.text, "\(call.message)")
    }

    /// One visit per event id.
    func visit(_ person: String, _ eventIDs: String...) throws {
        let call = try self.call("Track", Requests.track(person, eventIDs))
        #expect(call.status == 0, "\(call.message)")
    }

    /// Of the trigger in a listing; 0 is left out there.
    func pending(_ trigger: String) throws -> Int64 {
        let call = try self.call("ListTriggers", #"{"project":"default"}"#)
        let triggers = call.response?["triggers"]?.items ?? []
        let found = triggers.first { $0["trigger_id"]?.text == trigger }
        return found?["pending"]?.integer ?? 0
    }
}
